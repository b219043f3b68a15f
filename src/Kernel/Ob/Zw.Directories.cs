using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Services on object directories and symbolic links.</summary>
sealed partial class Zw
{
    const int DirectoryEntrySize = 0x20;

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwCreateDirectoryObject(
        Va directoryHandle, uint desiredAccess, ObjectAttributes objectAttributes) =>
        CreateObject(directoryHandle, nt.Ob.DirectoryType, desiredAccess, objectAttributes,
            ProcessorMode.KernelMode, nt.Ob.CreateDirectory);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwOpenDirectoryObject(Va directoryHandle, uint desiredAccess, ObjectAttributes objectAttributes) =>
        OpenObject(directoryHandle, nt.Ob.DirectoryType, desiredAccess, objectAttributes, ProcessorMode.KernelMode);

    /// <summary>The services that create: capture what is asked for, make it under its name, give the handle.</summary>
    NtStatus CreateObject(Va handle, ObjectType type, uint access, ObjectAttributes attributes, ProcessorMode mode,
        Func<NtObject> make)
    {
        nt.Ob.Probe(handle, 8, mode);
        NtStatus status = ObjectRequest.Capture(nt, attributes, mode, out ObjectRequest request);
        if (!status.IsSuccess) return status;
        status = nt.Ob.CreateNamed(request, type, access, make, out Handle made, out _);
        if (status.IsSuccess) Give(handle, made, mode);
        return status;
    }

    NtStatus OpenObject(Va handle, ObjectType type, uint access, ObjectAttributes attributes, ProcessorMode mode)
    {
        nt.Ob.Probe(handle, 8, mode);
        if (attributes.IsNull) return STATUS_INVALID_PARAMETER;
        NtStatus status = ObjectRequest.Capture(nt, attributes, mode, out ObjectRequest request);
        if (!status.IsSuccess) return status;
        status = nt.Ob.OpenNamed(request, type, access, out Handle opened);
        if (status.IsSuccess) Give(handle, opened, mode);
        return status;
    }

    /// <summary>Names and types of the entries from an index on; OBJECT_DIRECTORY_INFORMATION each, an empty one at the
    /// end, then the characters.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwQueryDirectoryObject(
        Handle directoryHandle, Va buffer, uint length, bool returnSingleEntry, bool restartScan, Va context,
        Va returnLength)
    {
        NtStatus status = nt.Ob.Resolve(
            directoryHandle, 1, nt.Ob.DirectoryType, ProcessorMode.KernelMode, out HandleEntry? entry);
        if (!status.IsSuccess) return status;
        int first = restartScan ? 0 : (int)Math.Min(nt.Memory.Read<uint>(context), int.MaxValue);
        uint needed = DirectoryEntrySize;
        var chosen = new List<NtObject>();
        status = STATUS_NO_MORE_ENTRIES;
        foreach (NtObject child in entry!.Object.Entries!.Values.Skip(first))
        {
            uint more = needed + DirectoryEntrySize + (uint)(child.Name.Length + child.Type.Name.Length + 2) * 2;
            if (more > length)
            {
                if (returnSingleEntry) needed = more;
                status = returnSingleEntry ? STATUS_BUFFER_TOO_SMALL : STATUS_MORE_ENTRIES;
                break;
            }
            (needed, status) = (more, STATUS_SUCCESS);
            chosen.Add(child);
            if (returnSingleEntry) break;
        }
        if (status.IsSuccess)
        {
            WriteEntries(buffer, chosen);
            nt.Memory.Write(context, (uint)(first + chosen.Count));
        }
        if (!returnLength.IsNull) nt.Memory.Write(returnLength, needed);
        return status;
    }

    void WriteEntries(Va buffer, List<NtObject> chosen)
    {
        Va text = buffer + (chosen.Count + 1) * DirectoryEntrySize;
        nt.Memory.Fill(buffer + chosen.Count * DirectoryEntrySize, DirectoryEntrySize, 0);
        for (int i = 0; i < chosen.Count; i++)
        {
            Va at = buffer + i * DirectoryEntrySize;
            text = WriteText(UnicodeString.At(nt.Memory, at), chosen[i].Name, text);
            text = WriteText(UnicodeString.At(nt.Memory, at + 0x10), chosen[i].Type.Name, text);
        }
    }

    Va WriteText(UnicodeString target, string value, Va place)
    {
        byte[] bytes = System.Text.Encoding.Unicode.GetBytes(value + '\0');
        nt.Memory.Write(place, bytes);
        target.Set(place, bytes.Length - 2, bytes.Length);
        return place + bytes.Length;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwCreateSymbolicLinkObject(
        Va linkHandle, uint desiredAccess, ObjectAttributes objectAttributes, UnicodeString linkTarget)
    {
        if (linkTarget.IsNull || linkTarget.Length is 0 or > 0xFFFC || (linkTarget.Length & 1) != 0)
            return STATUS_INVALID_PARAMETER;
        string target = linkTarget.Text;
        Va maker = nt.Caller;
        return CreateObject(linkHandle, nt.Ob.LinkType, desiredAccess, objectAttributes, ProcessorMode.KernelMode,
            () => nt.Ob.CreateLink(target, maker));
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwOpenSymbolicLinkObject(Va linkHandle, uint desiredAccess, ObjectAttributes objectAttributes) =>
        OpenObject(linkHandle, nt.Ob.LinkType, desiredAccess, objectAttributes, ProcessorMode.KernelMode);

    /// <summary>With a returned length asked for, the final zero is copied and counted too.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwQuerySymbolicLinkObject(Handle linkHandle, UnicodeString linkTarget, Va returnedLength)
    {
        NtStatus status = nt.Ob.Resolve(
            linkHandle, 1, nt.Ob.LinkType, ProcessorMode.KernelMode, out HandleEntry? entry);
        if (!status.IsSuccess) return status;
        string target = entry!.Object.Target!;
        byte[] bytes = System.Text.Encoding.Unicode.GetBytes(returnedLength.IsNull ? target : target + '\0');
        if (!returnedLength.IsNull) nt.Memory.Write(returnedLength, (uint)bytes.Length);
        if (linkTarget.MaximumLength < bytes.Length) return STATUS_BUFFER_TOO_SMALL;
        nt.Memory.Write(linkTarget.Buffer, bytes);
        linkTarget.Length = (ushort)(target.Length * 2);
        return STATUS_SUCCESS;
    }
}
