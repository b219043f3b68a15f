using System.Runtime.CompilerServices;

namespace Ringdown.Machine;

/// <summary>An operation that reads B or memory (and registers) and writes registers.</summary>
unsafe interface IVectorRead
{
    /// <summary>Bytes of the source, for a mode with so many.</summary>
    static virtual int Bytes(int mode) => mode;
    static virtual bool Aligned => false;

    static abstract void Do<TMode>(Uop* op, CpuState* s, byte* b) where TMode : IVectorMode;
}

/// <summary>An operation that writes register D or memory from register S.</summary>
unsafe interface IVectorWrite
{
    static virtual int Bytes(int mode) => mode;
    static virtual bool Aligned => false;

    /// <param name="memory">False if the destination is a register, which is then written whole.</param>
    static abstract void Do<TMode>(Uop* op, CpuState* s, byte* d, bool memory) where TMode : IVectorMode;
}

static unsafe class VectorRead<TOp, TPlace, TMode> where TOp : IVectorRead where TPlace : IPlace
    where TMode : IVectorMode
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* Run(Uop* op, CpuState* s)
    {
        if (TMode.Bytes == 8 && !VectorAccess.MmxReady(s)) return Fault.Raise(op, s, Fault.FpuError);
        int bytes = TOp.Bytes(TMode.Bytes);
        byte* b;
        if (TPlace.IsMemory)
        {
            ulong address = MemX.Of(op, s);
            if (TOp.Aligned && (address & (ulong)(bytes - 1)) != 0) return Fault.Raise(op, s, Fault.GeneralProtection);
            b = Probe.Read(s, address, bytes);
        }
        else
        {
            b = TPlace.Read(op, s, bytes);
        }
        if (b == null) return Fault.At(op, s);
        if (TMode.Bytes == 8) VectorAccess.EnterMmx(s);
        TOp.Do<TMode>(op, s, b);
        return op + 1;
    }
}

static unsafe class VectorWrite<TOp, TPlace, TMode> where TOp : IVectorWrite where TPlace : IPlace
    where TMode : IVectorMode
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* Run(Uop* op, CpuState* s)
    {
        if (TMode.Bytes == 8 && !VectorAccess.MmxReady(s)) return Fault.Raise(op, s, Fault.FpuError);
        int bytes = TOp.Bytes(TMode.Bytes);
        byte* d;
        if (TPlace.IsMemory)
        {
            ulong address = MemX.Of(op, s);
            if (TOp.Aligned && (address & (ulong)(bytes - 1)) != 0) return Fault.Raise(op, s, Fault.GeneralProtection);
            d = Probe.Write(s, address, bytes);
        }
        else
        {
            d = TPlace.Write(op, s, bytes);
        }
        if (d == null) return Fault.At(op, s);
        if (TMode.Bytes == 8) VectorAccess.EnterMmx(s);
        TOp.Do<TMode>(op, s, d, TPlace.IsMemory);
        return op + 1;
    }
}
