using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>Security: contexts of opens, descriptors.</summary>
[NtModule("ntoskrnl.exe")]
sealed partial class Se(NtKernel nt)
{
    const uint ContextTag = 0x6353_6549, AccessStateSize = 0xA0;

    /// <summary>IO_SECURITY_CONTEXT and the ACCESS_STATE behind it, for an IRP_MJ_CREATE.</summary>
    public Va NewSecurityContext(uint desiredAccess)
    {
        Va context = nt.Mm.Pool.Allocate(0x20 + (int)AccessStateSize, ContextTag);
        Va accessState = context + 0x20;
        nt.Memory.Write(context + 0x08, accessState);
        nt.Memory.Write(context + 0x10, desiredAccess);
        nt.Memory.Write(accessState + 0x10, desiredAccess);    // RemainingDesiredAccess
        nt.Memory.Write(accessState + 0x18, desiredAccess);    // OriginalDesiredAccess
        return context;
    }

    public void FreeSecurityContext(Va context) => nt.Mm.Pool.Free(context);
}
