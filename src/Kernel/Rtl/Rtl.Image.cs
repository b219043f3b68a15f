using Ringdown.Machine;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Images in memory: headers, directories, messages, functions.</summary>
sealed partial class Rtl
{
    const int MessageBlockBytes = 12;

    [Export] public Va RtlImageNtHeader(Va @base) => ImageHeaders.At(nt.Memory, @base).NtHeaders;

    /// <summary>A base with one of its two low bits set is that of a file that is mapped as it is.</summary>
    [Export]
    public Va RtlImageDirectoryEntryToData(Va @base, bool mappedAsImage, ushort directoryEntry, Va size)
    {
        Va start = new(@base.Value & ~3UL);
        if (start != @base) mappedAsImage = false;
        ImageHeaders image = ImageHeaders.At(nt.Memory, start);
        (uint rva, uint bytes) = image.Directory(directoryEntry);
        if (rva == 0) return Va.Null;
        nt.Memory.Write(size, bytes);
        return mappedAsImage ? start + (ulong)rva : image.InFile(rva);
    }

    [Export]
    public Va RtlPcToFileHeader(Va pcValue, Va baseOfImage)
    {
        Va start = nt.Loader.ImageAt(pcValue)?.Base ?? Va.Null;
        nt.Memory.Write(baseOfImage, start);
        return start;
    }

    /// <summary>The RUNTIME_FUNCTION of an address; null for a function that has none.</summary>
    [Export]
    public Va RtlLookupFunctionEntry(Va controlPc, Va imageBase, Va historyTable)
    {
        LoadedImage? image = nt.Loader.ImageAt(controlPc);
        nt.Memory.Write(imageBase, image?.Base ?? Va.Null);
        return image is null ? Va.Null : nt.Seh.Unwinder.FindEntry(image, controlPc);
    }

    /// <summary>The MESSAGE_RESOURCE_ENTRY of a message in an image's table of messages.</summary>
    [Export]
    public NtStatus RtlFindMessage(
        Va dllHandle, uint messageTableId, uint messageLanguageId, uint messageId, Va messageEntry)
    {
        NtStatus status = nt.Ldr.Find(
            dllHandle, [messageTableId, 1, messageLanguageId], out Va entry, ResourceLevel.Data);
        if (!status.IsSuccess) return status;
        Va table = new Va(dllHandle.Value & ~3UL) + (ulong)nt.Memory.Read<uint>(entry);
        uint blocks = nt.Memory.Read<uint>(table);
        for (uint i = 0; i < blocks; i++)
        {
            nt.Ke.Clock.Spend();
            Va block = table + 4 + i * (ulong)MessageBlockBytes;
            uint low = nt.Memory.Read<uint>(block), high = nt.Memory.Read<uint>(block + 4);
            if (messageId < low || messageId > high) continue;
            Va message = table + (ulong)nt.Memory.Read<uint>(block + 8);
            for (uint skip = messageId - low; skip > 0; skip--)
            {
                nt.Ke.Clock.Spend();
                message += nt.Memory.Read<ushort>(message);
            }
            nt.Memory.Write(messageEntry, message);
            return STATUS_SUCCESS;
        }
        return STATUS_MESSAGE_NOT_FOUND;
    }
}
