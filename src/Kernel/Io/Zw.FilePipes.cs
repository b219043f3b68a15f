using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>How a pipe or a mailslot is made: system calls that no driver imports. The driver behind the name gets an
/// IRP of its own major, with the parameters where Create has extended attributes.</summary>
sealed partial class Zw
{
    const int PipeParameterBytes = 0x28, MailslotParameterBytes = 0x18;

    /// <param name="kind">NamedPipeType, ReadMode, CompletionMode, MaximumInstances.</param>
    /// <param name="quotas">InboundQuota, OutboundQuota.</param>
    public NtStatus NtCreateNamedPipeFile(
        Va fileHandle, uint desiredAccess, ObjectAttributes objectAttributes, Va ioStatusBlock, uint shareAccess,
        uint createDisposition, uint createOptions, (uint Type, uint ReadMode, uint CompletionMode, uint Most) kind,
        (uint Inbound, uint Outbound) quotas, Va defaultTimeout) => Service(mode =>
    {
        byte[] bytes = new byte[PipeParameterBytes];
        ReadOnlySpan<uint> words =
            [kind.Type, kind.ReadMode, kind.CompletionMode, kind.Most, quotas.Inbound, quotas.Outbound];
        for (int i = 0; i < words.Length; i++) BitConverter.TryWriteBytes(bytes.AsSpan(i * 4), words[i]);
        AddTimeout(bytes, 0x18, defaultTimeout, mode);
        return CreateSpecial(fileHandle, objectAttributes, ioStatusBlock, IrpMajor.IRP_MJ_CREATE_NAMED_PIPE, bytes,
            new OpenOptions(desiredAccess, shareAccess, createDisposition, createOptions, 0), mode);
    });

    public NtStatus NtCreateMailslotFile(
        Va fileHandle, uint desiredAccess, ObjectAttributes objectAttributes, Va ioStatusBlock, uint createOptions,
        uint mailslotQuota, uint maximumMessageSize, Va readTimeout) => Service(mode =>
    {
        byte[] bytes = new byte[MailslotParameterBytes];
        BitConverter.TryWriteBytes(bytes, mailslotQuota);
        BitConverter.TryWriteBytes(bytes.AsSpan(4), maximumMessageSize);
        AddTimeout(bytes, 8, readTimeout, mode);
        const uint shareAll = 3, create = 2;
        return CreateSpecial(fileHandle, objectAttributes, ioStatusBlock, IrpMajor.IRP_MJ_CREATE_MAILSLOT, bytes,
            new OpenOptions(desiredAccess, shareAll, create, createOptions, 0), mode);
    });

    // The time, and whether there is one.
    void AddTimeout(byte[] parameters, int at, Va timeout, ProcessorMode mode)
    {
        if (timeout.IsNull) return;
        nt.Ob.Probe(timeout, 8, mode);
        BitConverter.TryWriteBytes(parameters.AsSpan(at), nt.Memory.Read<long>(timeout));
        parameters[at + 8] = 1;
    }

    NtStatus CreateSpecial(Va handle, ObjectAttributes attributes, Va iosb, IrpMajor major, byte[] parameters,
        OpenOptions options, ProcessorMode mode)
    {
        Va copy = nt.Mm.Pool.Allocate(parameters.Length, AuxiliaryTag);
        nt.Memory.Write(copy, parameters);
        try
        {
            return CreateFile(handle, attributes, iosb, Va.Null, options, default, mode,
                open => open with { Major = major, Parameters = copy });
        }
        finally
        {
            nt.Mm.Pool.Free(copy);
        }
    }
}
