using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>OBJECT_ATTRIBUTES as they were when the caller passed them.</summary>
/// <param name="Root">The object that the name starts from; null for the root of the namespace.</param>
/// <param name="Name">Null for an object without a name.</param>
/// <param name="Mode">Whether rights are checked.</param>
sealed record ObjectRequest(
    NtObject? Root, string? Name, uint Attributes, SecurityInfo? Security, ProcessorMode Mode)
{
    public const uint OBJ_INHERIT = 0x02, OBJ_PERMANENT = 0x10, OBJ_EXCLUSIVE = 0x20, OBJ_CASE_INSENSITIVE = 0x40,
        OBJ_OPENIF = 0x80, OBJ_OPENLINK = 0x100, OBJ_KERNEL_HANDLE = 0x200, OBJ_FORCE_ACCESS_CHECK = 0x400,
        OBJ_DONT_REPARSE = 0x1000, Valid = 0x1FF2;

    public static ObjectRequest None(ProcessorMode mode = ProcessorMode.KernelMode, uint attributes = 0) =>
        new(null, null, attributes, null, mode);

    public bool Has(uint attribute) => (Attributes & attribute) != 0;

    /// <summary>Rights are looked at: for user mode, and for a driver that asks for it.</summary>
    public bool IsChecked => Mode == ProcessorMode.UserMode || Has(OBJ_FORCE_ACCESS_CHECK);

    public static NtStatus Capture(NtKernel nt, ObjectAttributes attributes, ProcessorMode mode,
        out ObjectRequest request)
    {
        request = None(mode);
        if (attributes.IsNull) return STATUS_SUCCESS;
        nt.Ob.Probe(attributes.Address, ObjectAttributes.Size, mode);
        uint flags = attributes.Attributes;
        if (attributes.Length != ObjectAttributes.Size || (flags & ~Valid) != 0) return STATUS_INVALID_PARAMETER;
        if (mode == ProcessorMode.UserMode) flags &= ~OBJ_KERNEL_HANDLE;
        string? name = null;
        if (!attributes.ObjectName.IsNull)
        {
            nt.Ob.Probe(attributes.ObjectName.Address, UnicodeString.Size, mode);
            int length = attributes.ObjectName.Length;
            if ((length & 1) != 0) return STATUS_OBJECT_NAME_INVALID;
            nt.Ob.Probe(attributes.ObjectName.Buffer, length, mode);
            name = length == 0 && attributes.RootDirectory.IsNull ? null : attributes.ObjectName.Text;
        }
        NtObject? root = null;
        if (!attributes.RootDirectory.IsNull)
        {
            NtStatus status = nt.Ob.Resolve(attributes.RootDirectory, 0, null, mode, out HandleEntry? entry);
            if (!status.IsSuccess) return status;
            root = entry!.Object;
            name ??= "";
        }
        SecurityInfo? security = null;
        if (!attributes.SecurityDescriptor.IsNull)
        {
            security = SecurityInfo.Read(nt.Memory, attributes.SecurityDescriptor);
            if (security is null) return STATUS_INVALID_SECURITY_DESCR;
        }
        request = new ObjectRequest(root, name, flags, security, mode);
        return STATUS_SUCCESS;
    }
}
