using Ringdown.Kernel;
using Ringdown.Machine;

namespace Ringdown.Verifier;

/// <summary>Who waits in user mode may have its stack swapped out, and be ended: it waits for no object on the stack,
/// and for no mutex of the kernel's.</summary>
public sealed class WaitRule(Reporter reporter) : IObserver
{
    const byte Mutant = 2;
    const int ApcDisableOffset = 0x31, MostObjects = 64;

    public void Enter(NtKernel nt, Export export, ReadOnlySpan<ulong> arguments)
    {
        switch (export.Name)
        {
            case nameof(NtKernel.KeWaitForSingleObject) or nameof(NtKernel.KeWaitForMutexObject):
                if ((arguments[2] & 1) != 0) Check(nt, new Va(arguments[0]));
                break;
            case nameof(NtKernel.KeWaitForMultipleObjects):
                if ((arguments[4] & 1) == 0) return;
                for (int i = 0; i < Math.Min((uint)arguments[0], MostObjects); i++)
                    if (nt.Memory.TryPeek(new Va(arguments[1]) + i * 8, out Va each)) Check(nt, each);
                break;
        }
    }

    void Check(NtKernel nt, Va @object)
    {
        if (nt.IsOnStack(@object))
            reporter.Report(nt, "Wait", Severity.Error,
                "A wait with the mode UserMode is for an object on the kernel stack, which may be swapped out "
                + "meanwhile. (Driver Verifier: 0xC4/0x123)");
        if (nt.Memory.TryPeek(@object, out byte type) && type == Mutant
            && nt.Memory.TryPeek(@object + ApcDisableOffset, out byte disables) && disables != 0)
            reporter.Report(nt, "Wait", Severity.Error,
                "A wait with the mode UserMode is for a mutex of KeInitializeMutex: a thread that is ended in it would "
                + "leave the mutex behind. Kernel mutexes are waited for with KernelMode.");
    }
}
