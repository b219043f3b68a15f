using FsCheck;
using FsCheck.Fluent;
using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>Dispatcher objects of one thread beside a simple model of their states.</summary>
public sealed class DispatcherModelTests
{
    const int Limit = 3, Objects = 6;

    /// <summary>By number: a notification event, a synchronization event, a semaphore, a mutex, a notification timer, a
    /// synchronization timer.</summary>
    sealed class Model
    {
        public int[] State { get; } = [0, 0, 0, 1, 0, 0];
        public long[] Due { get; } = new long[Objects];

        public void Advance(long now)
        {
            for (int i = 4; i < Objects; i++)
                if (Due[i] != 0 && Due[i] <= now) (State[i], Due[i]) = (1, 0);
        }

        public bool CanTake(int which) => which == 3 || State[which] > 0;

        public void Take(int which)
        {
            if (which is 1 or 5) State[which] = 0;
            else if (which is 2 or 3) State[which]--;
        }

        public NtStatus WaitForAny(int[] which)
        {
            int first = Array.FindIndex(which, CanTake);
            if (first < 0) return STATUS_TIMEOUT;
            Take(which[first]);
            return new NtStatus((uint)first);
        }

        public NtStatus WaitForAll(int[] which)
        {
            if (!which.All(CanTake)) return STATUS_TIMEOUT;
            foreach (int each in which) Take(each);
            return STATUS_SUCCESS;
        }
    }

    sealed class Real
    {
        readonly TestMachine _m;
        readonly Va[] _at = new Va[Objects];
        readonly Va _zero, _array;

        public Real(TestMachine m)
        {
            _m = m;
            for (int i = 0; i < Objects; i++) _at[i] = m.Block(0x40);
            (_zero, _array) = (m.Block(8), m.Block(24));
            for (uint i = 0; i < 2; i++)
            {
                m.Nt.KeInitializeEvent(KEvent.At(m.Nt.Memory, _at[i]), i, false);
                m.Nt.KeInitializeTimerEx(TimerAt((int)i + 4), i);
            }
            m.Nt.KeInitializeSemaphore(Semaphore, 0, Limit);
            m.Nt.KeInitializeMutex(Mutex, 0);
        }

        public KSemaphore Semaphore => KSemaphore.At(_m.Nt.Memory, _at[2]);
        public KMutant Mutex => KMutant.At(_m.Nt.Memory, _at[3]);
        public KEvent EventAt(int which) => KEvent.At(_m.Nt.Memory, _at[which]);
        public KTimer TimerAt(int which) => KTimer.At(_m.Nt.Memory, _at[which]);
        public int State(int which) => DispatcherHeader.At(_m.Nt.Memory, _at[which]).SignalState;

        public NtStatus Wait(int[] which, bool all)
        {
            for (int i = 0; i < which.Length; i++) _m.Nt.Memory.Write(_array + i * 8, _at[which[i]]);
            return _m.Nt.KeWaitForMultipleObjects(
                (uint)which.Length, _array, all ? 0u : 1, 0, 0, false, _zero, Va.Null);
        }
    }

    /// <returns>What the call says in the machine, and in the model.</returns>
    static (object Real, object Model) Step(TestMachine m, Real real, Model model, int op, int x)
    {
        int[] which = [.. new[] { x % Objects, x / 2 % Objects, x / 3 % Objects }.Distinct()];
        int e = x % 2, timer = 4 + x % 2, old;
        switch (op)
        {
            case 0:
                (old, model.State[e]) = (model.State[e], 1);
                return (m.Nt.KeSetEvent(real.EventAt(e), 0, false), old);
            case 1:
                (old, model.State[e]) = (model.State[e], 0);
                KEvent target = real.EventAt(e);
                return ((x & 2) != 0 ? m.Nt.KeResetEvent(target) : m.Nt.KePulseEvent(target, 0, false), old);
            case 2 when model.State[2] == Limit:
                return (Record.Exception(() => m.Nt.KeReleaseSemaphore(real.Semaphore, 0, 1, false)) is GuestException,
                    true);
            case 2:
                return (m.Nt.KeReleaseSemaphore(real.Semaphore, 0, 1, false), model.State[2]++);
            case 3 when model.State[3] == 1:
                return (Record.Exception(() => m.Nt.KeReleaseMutex(real.Mutex, false)) is GuestException, true);
            case 3:
                return (m.Nt.KeReleaseMutex(real.Mutex, false), model.State[3]++);
            case 4:
                bool was = model.Due[timer] != 0;
                (model.Due[timer], model.State[timer]) = (m.Nt.Ke.Clock.Now + 10 + x, 0);
                return (m.Nt.KeSetTimer(real.TimerAt(timer), -10 - x, KDpc.At(m.Nt.Memory, Va.Null)), was);
            case 5:
                (was, model.Due[timer]) = (model.Due[timer] != 0, 0);
                return (m.Nt.KeCancelTimer(real.TimerAt(timer)), was);
            case 6:
                m.Nt.KeStallExecutionProcessor((uint)x / 10);
                return (0, 0);
            case 7:
                return (real.Wait(which, all: true), model.WaitForAll(which));
            default:
                return (real.Wait(which, all: false), model.WaitForAny(which));
        }
    }

    [Fact]
    public void Objects_have_the_states_that_a_simple_model_has()
    {
        using var m = new TestMachine();
        Arbitrary<(int Op, int X)[]> steps = Arb.From(
            Gen.Choose(0, 8).SelectMany(op => Gen.Choose(0, 59).Select(x => (op, x))).ArrayOf());
        Prop.ForAll(steps, all =>
        {
            var real = new Real(m);
            var model = new Model();
            bool good = true;
            foreach ((int op, int x) in all)
            {
                (object said, object expected) = Step(m, real, model, op, x);
                model.Advance(m.Nt.Ke.Clock.Now);
                good &= said.Equals(expected);
                for (int i = 0; i < Objects; i++) good &= real.State(i) == model.State[i];
            }
            for (int i = 4; i < Objects; i++) m.Nt.KeCancelTimer(real.TimerAt(i));
            while (model.State[3]++ < 1) m.Nt.KeReleaseMutex(real.Mutex, false);
            return good;
        }).Check(Config.QuickThrowOnFailure.WithMaxTest(300).WithReplay(4711, 97));
    }
}
