using System.Text;
using Ringdown.Kernel;
using Ringdown.Machine;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Samples;

// A disk's start and end, its power, and what it tells of itself.
public sealed partial class AtaDisk
{
    const uint CM_RESOURCE_INTERRUPT_LATCHED = 1;
    const uint IOCTL_DISK_GET_DRIVE_GEOMETRY = 0x70000, IOCTL_DISK_GET_DRIVE_GEOMETRY_EX = 0x700A0,
        IOCTL_DISK_GET_LENGTH_INFO = 0x7405C, IOCTL_STORAGE_QUERY_PROPERTY = 0x2D1400, IOCTL_DISK_VERIFY = 0x70014,
        IOCTL_DISK_IS_WRITABLE = 0x70024, IOCTL_DISK_CHECK_VERIFY = 0x74800, IOCTL_STORAGE_CHECK_VERIFY = 0x2D4800;

    sealed partial class Disk
    {
        readonly string _name = name;
        byte[] _identity = [];
        long _sectors;
        bool _hasLink;

        public bool IsOnDisk(long offset, uint length) => offset >= 0 && (offset | length) % Sector == 0
            && offset <= _sectors * Sector && length <= _sectors * Sector - offset;

        /// <summary>A control code that is answered at once; null: it is queued.</summary>
        public (NtStatus Status, ulong Information)? Control(Irp irp, IoStackLocation at)
        {
            byte[] geometry = [.. BitConverter.GetBytes(_sectors / (255 * 63)), .. Words(12, 255, 63, Sector)];
            switch (at.IoControlCode)
            {
                case IOCTL_DISK_GET_DRIVE_GEOMETRY:
                    return Answer(irp, at, geometry);
                case IOCTL_DISK_GET_DRIVE_GEOMETRY_EX:
                    return Answer(irp, at, [.. geometry, .. BitConverter.GetBytes(_sectors * Sector)]);
                case IOCTL_DISK_GET_LENGTH_INFO:
                    return Answer(irp, at, BitConverter.GetBytes(_sectors * Sector));
                case IOCTL_STORAGE_QUERY_PROPERTY:
                    return Describe(irp, at);
                case IOCTL_DISK_VERIFY:
                    if (at.InputBufferLength < 16) return (STATUS_INFO_LENGTH_MISMATCH, 0);
                    uint length = Memory.Read<uint>(irp.SystemBuffer + 8);
                    return length == 0 || !IsOnDisk(Memory.Read<long>(irp.SystemBuffer), length)
                        ? (STATUS_INVALID_PARAMETER, 0) : null;
                case IOCTL_DISK_IS_WRITABLE or IOCTL_DISK_CHECK_VERIFY or IOCTL_STORAGE_CHECK_VERIFY:
                    return (STATUS_SUCCESS, 0);
                default:
                    return (STATUS_INVALID_DEVICE_REQUEST, 0);
            }
        }

        static byte[] Words(params uint[] words) => [.. words.SelectMany(BitConverter.GetBytes)];

        (NtStatus, ulong) Answer(Irp irp, IoStackLocation at, byte[] bytes)
        {
            if (at.OutputBufferLength < bytes.Length) return (STATUS_BUFFER_TOO_SMALL, 0);
            Memory.Write(irp.SystemBuffer, bytes);
            return (STATUS_SUCCESS, (ulong)bytes.Length);
        }

        // STORAGE_DEVICE_DESCRIPTOR, with the model behind it.
        (NtStatus, ulong) Describe(Irp irp, IoStackLocation at)
        {
            const int size = 40, busTypeAta = 3, model = 27;
            if (at.InputBufferLength < 12) return (STATUS_INVALID_PARAMETER, 0);
            if (Memory.Read<uint>(irp.SystemBuffer) != 0) return (STATUS_NOT_SUPPORTED, 0);
            if (Memory.Read<uint>(irp.SystemBuffer + 4) == 1) return (STATUS_SUCCESS, 0);
            byte[] text = [.. Enumerable.Range(0, 40).Select(i => _identity[2 * model + (i ^ 1)])];
            byte[] made = [.. Words(size, size + 44, 0, 0, size, 0, 0, busTypeAta, 0, 0), .. text, 0, 0, 0, 0];
            int given = (int)Math.Min((uint)made.Length, at.OutputBufferLength);
            Memory.Write(irp.SystemBuffer, made.AsSpan(0, given));
            return (STATUS_SUCCESS, (ulong)given);
        }

        // By looking, since there is no interrupt yet.
        NtStatus Identify()
        {
            Nt.WRITE_PORT_UCHAR(_controlPort, 2);
            Out(Device, 0);
            if (In(AtaDisk.Status) == 0xFF || !Reset()) return STATUS_NO_SUCH_DEVICE;
            Nt.WRITE_PORT_UCHAR(_controlPort, 2);
            Out(AtaDisk.Status, IdentifyDevice);
            if (!Settle(StatusRequest)) return STATUS_NO_SUCH_DEVICE;
            Va read = driver.Local(Sector);
            Nt.READ_PORT_BUFFER_USHORT(_port + Data, read, 256);
            _identity = Memory.ReadBytes(read, Sector);
            In(AtaDisk.Status);
            // 48 bits of address are what all commands here have.
            if ((BitConverter.ToUInt16(_identity, 2 * 83) & 0x400) == 0) return STATUS_NOT_SUPPORTED;
            _sectors = BitConverter.ToInt64(_identity, 2 * 100);
            // Ultra DMA 5.
            Out(Error, 3);
            Out(Count, 0x45);
            Out(AtaDisk.Status, SetFeatures);
            Settle(0);
            In(AtaDisk.Status);
            Nt.WRITE_PORT_UCHAR(_controlPort, 0);
            return STATUS_SUCCESS;
        }

        void MakeAdapter()
        {
            Va description = driver.Local(0x30), registers = driver.Local(8), address = driver.Local(8);
            Memory.Write(description, new byte[0x30]);
            foreach (int isSo in (int[])[4, 5, 8]) Memory.Write(description + isSo, (byte)1);
            Memory.Write(description + 0x18, 1u);
            Memory.Write(description + 0x20, (uint)(MostSectors * Sector));
            _adapter = Nt.IoGetDmaAdapter(Physical, description, registers);
            if (_adapter.IsNull) return;
            _table = new Va(Dma(AllocateCommonBuffer, TableBytes, address.Value, 0));
            _tableAddress = Memory.Read<ulong>(address);
            if (!_table.IsNull) return;
            Dma(PutDmaAdapter);
            _adapter = Va.Null;
        }

        public void FreeAdapter()
        {
            if (_adapter.IsNull) return;
            Dma(FreeCommonBuffer, TableBytes, _tableAddress, _table.Value, 0);
            Dma(PutDmaAdapter);
            _adapter = Va.Null;
        }

        public NtStatus Start(CmResourceList resources)
        {
            CmPartialResourceDescriptor interrupt = default;
            (_port, _controlPort, _master) = (Va.Null, Va.Null, Va.Null);
            if (resources.IsNull || resources.Count != 1) return STATUS_INSUFFICIENT_RESOURCES;
            for (int i = 0; i < (int)resources.DescriptorCount; i++)
            {
                CmPartialResourceDescriptor d = resources.Descriptor(i);
                if (d.Type == ResourceType.Interrupt) interrupt = d;
                if (d.Type != ResourceType.Port) continue;
                // Eight ports, one, and eight: in the order in which they are always told.
                if (d.Length < Ports) _controlPort = new Va(d.Start);
                else if (_port.IsNull) _port = new Va(d.Start);
                else _master = new Va(d.Start);
            }
            if (_port.IsNull || _controlPort.IsNull || interrupt.IsNull) return STATUS_INSUFFICIENT_RESOURCES;
            NtStatus status = Identify();
            if (!status.IsSuccess) return status;
            if (!_master.IsNull && _adapter.IsNull) MakeAdapter();
            Va connected = driver.Local(8);
            status = Nt.IoConnectInterrupt(connected, driver.Routine(driver.Isr), Self.Address, Va.Null,
                interrupt.Vector, (Irql)interrupt.Level, (Irql)interrupt.Level,
                (interrupt.Flags & CM_RESOURCE_INTERRUPT_LATCHED) != 0 ? 1u : 0,
                interrupt.ShareDisposition == ShareDisposition.Shared, interrupt.Affinity, false);
            if (!status.IsSuccess) return status;
            _interrupt = Memory.Read<Va>(connected);
            IsStarted = _powered = true;
            if (!_hasLink)
                _hasLink = driver.IoCreateSymbolicLink(@"\DosDevices\" + _name, @"\Device\" + _name).IsSuccess;
            return STATUS_SUCCESS;
        }

        /// <summary>What is under way ends, and all that waits.</summary>
        public void SetGone()
        {
            Gone = true;
            if (IsStarted)
            {
                Irql irql = Nt.KeRaiseIrqlToDpcLevel();
                // The request itself, unless its interrupt has come: then the DPC ends it. Each one that follows ends
                // at once.
                if (TakeBack())
                {
                    FreeList();
                    End(STATUS_DEVICE_REMOVED);
                }
                else if (_held)
                {
                    _held = false;
                    End(STATUS_DEVICE_REMOVED);
                }
                Nt.KeLowerIrql(irql);
                Nt.KeFlushQueuedDpcs();
                IsStarted = false;
                Nt.IoDisconnectInterrupt(Interrupt);
            }
            Nt.KeCancelTimer(Extension.Timer);
            if (_hasLink) driver.IoDeleteSymbolicLink(@"\DosDevices\" + _name);
            _hasLink = false;
        }

        public void PowerUp()
        {
            Nt.PoSetPowerState(Self, DevicePowerState, PowerDeviceD0);
            Irql irql = Nt.KeRaiseIrqlToDpcLevel();
            _powered = true;
            if (_held) Begin();
            Nt.KeLowerIrql(irql);
        }

        /// <summary>What is under way ends first; what comes now waits. The cache goes to the disk before power
        /// goes.</summary>
        public void PowerDown(uint state)
        {
            Va pause = driver.Local(8);
            Memory.Write(pause, -10_000L);
            _powered = false;
            while (IsStarted && !Gone && !Self.CurrentIrp.IsNull && !_held)
                Nt.KeDelayExecutionThread(KernelMode, false, pause);
            if (IsStarted && !Gone)
            {
                Nt.WRITE_PORT_UCHAR(_controlPort, 2);
                Out(AtaDisk.Status, StandbyImmediate);
                for (int i = 0; i < 10_000 && (Nt.READ_PORT_UCHAR(_controlPort) & 0x81) == StatusBusy; i++)
                    Nt.KeDelayExecutionThread(KernelMode, false, pause);
                In(AtaDisk.Status);
                Nt.WRITE_PORT_UCHAR(_controlPort, 0);
            }
            Nt.PoSetPowerState(Self, DevicePowerState, state);
        }
    }
}
