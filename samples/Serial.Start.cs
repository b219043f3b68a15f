using Ringdown.Kernel;
using Ringdown.Machine;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Samples;

// A port's start and end, its name, its power, and who has it open.
public sealed partial class Serial
{
    sealed partial class Port
    {
        readonly string _name = name;
        string? _link;
        int _opens;

        public NtStatus Open()
        {
            if (!_started || Gone) return STATUS_DEVICE_NOT_READY;
            if (_opens > 0) return STATUS_ACCESS_DENIED;
            _opens++;
            _timeouts = default;
            Irql irql = Lock();
            _first = _count = 0;
            _errors = _holds = 0;
            _chars = new Chars(0, 0, 0, 0, 0x11, 0x13);
            _flow = new Flow(SERIAL_DTR_CONTROL, SERIAL_RTS_CONTROL, _ring.Length / 2, _ring.Length / 8);
            _control = ControlOut2;
            _xoffSent = false;
            _stats = default;
            ApplyFlow();
            Unlock(irql);
            return STATUS_SUCCESS;
        }

        public void Cleanup()
        {
            Abort(Reads, STATUS_CANCELLED);
            Abort(Writes, STATUS_CANCELLED);
            Abort(Waits, STATUS_CANCELLED);
            Irql irql = Lock();
            (_mask, _events, _immediate) = (0, 0, NoChar);
            Unlock(irql);
            SetBreak(false);
        }

        public void Close()
        {
            Irql irql = Lock();
            SetLines(0, ControlDtr | ControlRts);
            Unlock(irql);
            _opens--;
        }

        // COM1 for the first one; the registry may say another name (PortName in the device's key).
        void MakeLink()
        {
            string link = PortName() ?? "COM" + (_name[^1] - '0' + 1);
            if (!_driver.IoCreateSymbolicLink(@"\DosDevices\" + link, _name).IsSuccess) return;
            _link = link;
            UnicodeString text = _driver.Text(link);
            Nt.RtlWriteRegistryValue(RTL_REGISTRY_DEVICEMAP, _driver.Text("SERIALCOMM").Buffer, _driver.Text(_name).Buffer,
                REG_SZ, text.Buffer, text.Length + 2u);
        }

        string? PortName()
        {
            const int head = 12, room = 64;
            using LocalFrame frame = _driver.Frame();
            Va key = _driver.Local(8), value = _driver.Local(head + room), length = _driver.Local(8);
            if (!Nt.IoOpenDeviceRegistryKey(Physical, PLUGPLAY_REGKEY_DEVICE, KEY_READ, key).IsSuccess) return null;
            var handle = Memory.Read<Handle>(key);
            NtStatus status = Nt.ZwQueryValueKey(handle, _driver.Text("PortName"), KeyValuePartialInformation, value,
                head + room, length);
            Nt.ZwClose(handle);
            if (!status.IsSuccess || Memory.Read<uint>(value + 4) != REG_SZ) return null;
            byte[] text = Memory.ReadBytes(value + head, (int)Memory.Read<uint>(value + 8));
            return System.Text.Encoding.Unicode.GetString(text).TrimEnd('\0');
        }

        void DeleteLink()
        {
            if (_link is null) return;
            _driver.IoDeleteSymbolicLink(@"\DosDevices\" + _link);
            Nt.RtlDeleteRegistryValue(
                RTL_REGISTRY_DEVICEMAP, _driver.Text("SERIALCOMM").Buffer, _driver.Text(_name).Buffer);
            _link = null;
        }

        public NtStatus Start(CmResourceList resources)
        {
            CmPartialResourceDescriptor interrupt = default;
            _port = Va.Null;
            if (resources.IsNull || resources.Count != 1) return STATUS_INSUFFICIENT_RESOURCES;
            for (int i = 0; i < (int)resources.DescriptorCount; i++)
            {
                CmPartialResourceDescriptor d = resources.Descriptor(i);
                if (d.Type == ResourceType.Port && d.Length >= Ports && _port.IsNull) _port = new Va(d.Start);
                if (d.Type == ResourceType.Interrupt && interrupt.IsNull) interrupt = d;
            }
            if (_port.IsNull || interrupt.IsNull) return STATUS_INSUFFICIENT_RESOURCES;
            // A register that keeps what is written shows that somebody is there.
            Out(Scratch, 0x5A);
            if (In(Scratch) != 0x5A) return STATUS_NO_SUCH_DEVICE;
            Out(Enable, 0);
            Va connected = _driver.Local(8);
            NtStatus status = Nt.IoConnectInterrupt(connected, _driver.Routine(_driver.Isr), Self.Address, Va.Null,
                interrupt.Vector, (Irql)interrupt.Level, (Irql)interrupt.Level,
                (interrupt.Flags & CM_RESOURCE_INTERRUPT_LATCHED) != 0 ? 1u : 0,
                interrupt.ShareDisposition == ShareDisposition.Shared, interrupt.Affinity, false);
            if (!status.IsSuccess) return status;
            Irql irql = Nt.KeAcquireSpinLockRaiseToDpc(Extension.Lock);
            _interrupt = Memory.Read<Va>(connected);
            Enter();
            _started = _powered = true;
            Program();
            Unlock(irql);
            if (_link is null) MakeLink();
            Service();
            return STATUS_SUCCESS;
        }

        /// <summary>The chip is let go; requests that wait stay where they are.</summary>
        public void Halt()
        {
            if (!_started) return;
            Irql irql = Lock();
            if (Runs)
            {
                Out(Enable, 0);
                Out(Control, 0);
            }
            _started = false;
            Leave();
            Va interrupt = _interrupt;
            _interrupt = Va.Null;
            Nt.KeReleaseSpinLock(Extension.Lock, irql);
            Nt.IoDisconnectInterrupt(_driver.At<KInterrupt>(interrupt));
            Nt.KeFlushQueuedDpcs();
        }

        public void SetGone()
        {
            Irql irql = Nt.KeAcquireSpinLockRaiseToDpc(Extension.Lock);
            Gone = true;
            Nt.KeReleaseSpinLock(Extension.Lock, irql);
            Abort(Reads, STATUS_DEVICE_REMOVED);
            Abort(Writes, STATUS_DEVICE_REMOVED);
            Abort(Waits, STATUS_DEVICE_REMOVED);
            Halt();
            DeleteLink();
        }

        public void PowerDown(uint state)
        {
            Irql irql = Lock();
            if (Runs) Out(Enable, 0);
            _powered = false;
            Unlock(irql);
            Nt.PoSetPowerState(Self, DevicePowerState, state);
        }

        public void PowerUp()
        {
            Irql irql = Lock();
            _powered = true;
            if (_started) Program();
            Unlock(irql);
            Nt.PoSetPowerState(Self, DevicePowerState, PowerDeviceD0);
            // What was on its way is sent on; what is lost in the FIFO is lost.
            irql = Lock();
            Kick();
            Unlock(irql);
            Service();
        }
    }
}
