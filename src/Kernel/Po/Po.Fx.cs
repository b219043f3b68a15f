using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>The power framework (PoFx): components of devices that are active or idle, and devices that need no power
/// when all theirs are idle.</summary>
sealed partial class Po
{
    const uint PO_FX_FLAG_BLOCKING = 1, PO_FX_FLAG_ASYNC_ONLY = 2;
    const ulong InvalidHandle = 0x600, TooManyReleases = 0x608, NotAwaited = 0x60A;

    readonly SortedDictionary<Va, FxDevice> _fxDevices = [];

    /// <summary>Devices that drivers have registered with the power framework.</summary>
    public IEnumerable<FxDevice> FxDevices => _fxDevices.Values;

    FxDevice Fx(Va handle) => _fxDevices.GetValueOrDefault(handle)
        ?? throw new BugCheck(BugCheckCode.INTERNAL_POWER_ERROR, InvalidHandle, handle.Value);

    FxComponent Fx(Va handle, uint component) =>
        Fx(handle) is { } device && component < device.Components.Count ? device.Components[(int)component]
            : throw new BugCheck(BugCheckCode.INTERNAL_POWER_ERROR, InvalidHandle, handle.Value, component);

    /// <summary>Versions 1 to 3 of PO_FX_DEVICE. Components are idle and in F0, the device has power; nothing happens
    /// before PoFxStartDevicePowerManagement.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus PoFxRegisterDevice(DeviceObject pdo, Va device, Va handle)
    {
        if (nt.Pnp.Find(pdo) is null || _fxDevices.Values.Any(d => d.Physical == pdo)) return STATUS_INVALID_PARAMETER;
        Va made = nt.Mm.Pool.Allocate(0x20, PowerTag);
        if (made.IsNull) return STATUS_INSUFFICIENT_RESOURCES;
        FxDevice? read = FxLayout.Read(nt, made, pdo, device);
        if (read is null)
        {
            nt.Mm.Pool.Free(made);
            return STATUS_INVALID_PARAMETER;
        }
        _fxDevices.Add(made, read);
        nt.Memory.Write(handle, made);
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void PoFxUnregisterDevice([FreesMem] Va handle)
    {
        Fx(handle).End();
        _fxDevices.Remove(handle);
        nt.Mm.Pool.Free(handle);
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void PoFxStartDevicePowerManagement(Va handle) => Fx(handle).Start();

    /// <summary>The component must be active from now on. It may be so only later, unless the caller wants to wait; who
    /// asks for it to be told later is called back by a worker.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void PoFxActivateComponent(Va handle, uint component, uint flags)
    {
        FxComponent wanted = Fx(handle, component);
        wanted.References++;
        Go(handle, flags);
        // A driver that never completes what it was asked is stopped by the limit of the request.
        while ((flags & PO_FX_FLAG_BLOCKING) != 0 && nt.Ke.Irql < DISPATCH_LEVEL && wanted.IsWanted
            && _fxDevices.ContainsKey(handle))
            nt.Ke.WaitFor([], all: false, nt.Ke.Clock.Now + PollTicks);
    }

    const long PollTicks = 1000;

    /// <exception cref="BugCheck">More often than it was activated.</exception>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void PoFxIdleComponent(Va handle, uint component, uint flags)
    {
        FxComponent held = Fx(handle, component);
        if (held.References == 0)
            throw new BugCheck(BugCheckCode.INTERNAL_POWER_ERROR, TooManyReleases, component, handle.Value);
        held.References--;
        Go(handle, flags);
    }

    void Go(Va handle, uint flags)
    {
        if ((flags & PO_FX_FLAG_ASYNC_ONLY) == 0) Fx(handle).Step();
        else nt.Ex.PoolOf(Wdm.CriticalWorkQueue).Queue(() => _fxDevices.GetValueOrDefault(handle)?.Step());
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void PoFxCompleteIdleCondition(Va handle, uint component) =>
        Complete(handle, component, FxComponent.Awaited.IdleCondition);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void PoFxCompleteIdleState(Va handle, uint component) =>
        Complete(handle, component, FxComponent.Awaited.IdleState);

    void Complete(Va handle, uint component, FxComponent.Awaited what)
    {
        FxComponent done = Fx(handle, component);
        if (done.Waits != what)
            throw new BugCheck(BugCheckCode.INTERNAL_POWER_ERROR, NotAwaited, component, handle.Value);
        done.Waits = FxComponent.Awaited.Nothing;
        Fx(handle).Step();
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void PoFxCompleteDevicePowerNotRequired(Va handle)
    {
        if (!Fx(handle).IsLettingGo)
            throw new BugCheck(BugCheckCode.INTERNAL_POWER_ERROR, NotAwaited, ulong.MaxValue, handle.Value);
        Fx(handle).OnLetGo();
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void PoFxReportDevicePoweredOn(Va handle) => Fx(handle).OnPoweredOn();

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void PoFxCompleteDirectedPowerDown(Va handle)
    {
        if (!Fx(handle).IsDirectedDown)
            throw new BugCheck(BugCheckCode.INTERNAL_POWER_ERROR, NotAwaited, ulong.MaxValue, handle.Value);
        Fx(handle).OnDirectedDown();
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void PoFxNotifySurprisePowerOn(DeviceObject pdo) =>
        _fxDevices.Values.FirstOrDefault(d => d.Physical == pdo)?.OnSurprisePower();

    /// <param name="idleTimeout">In 100 ns.</param>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void PoFxSetDeviceIdleTimeout(Va handle, ulong idleTimeout)
    {
        Fx(handle).IdleTimeoutTicks = idleTimeout;
        Fx(handle).Step();
    }

    /// <param name="latency">How long the driver can wait for F0, in 100 ns.</param>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void PoFxSetComponentLatency(Va handle, uint component, ulong latency)
    {
        Fx(handle, component).Latency = latency;
        Fx(handle).Step();
    }

    /// <param name="residency">How long it will be idle, in 100 ns.</param>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void PoFxSetComponentResidency(Va handle, uint component, ulong residency)
    {
        Fx(handle, component).Residency = residency;
        Fx(handle).Step();
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void PoFxSetComponentWake(Va handle, uint component, bool wakeHint)
    {
        Fx(handle, component).Wakes = wakeHint;
        Fx(handle).Step();
    }

    /// <summary>A request to the platform's power engine. There is none, so no code is known.</summary>
    [Export(Support.Partial, "There is no platform extension plug-in: no control code is implemented.")]
    [IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus PoFxPowerControl(
        Va handle, Va powerControlCode, Va inBuffer, ulong inBufferSize, Va outBuffer, ulong outBufferSize,
        Va bytesReturned)
    {
        Fx(handle);
        nt.Memory.Read<Guid>(powerControlCode);
        if (!bytesReturned.IsNull) nt.Memory.Write(bytesReturned, 0UL);
        return STATUS_NOT_IMPLEMENTED;
    }
}
