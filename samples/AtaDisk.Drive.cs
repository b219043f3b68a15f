using Ringdown.Kernel;
using Ringdown.Machine;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;

namespace Ringdown.Samples;

// A request from StartIo to its end: commands, DMA or words by hand, errors, tries.
public sealed partial class AtaDisk
{
    const int Sector = 512, MostSectors = 256, TableBytes = 0x1000, Tries = 3;
    const long CommandTicks = 10 * 10_000_000L;
    const int Data = 0, Error = 1, Count = 2, Low = 3, Middle = 4, High = 5, Device = 6, Status = 7, Ports = 8;
    const int MasterCommand = 0, MasterStatus = 2, MasterTable = 4;
    const byte StatusBusy = 0x80, StatusRequest = 8, StatusFailed = 1, ErrorNotFound = 0x10, ErrorUncorrectable = 0x40;
    const byte MasterStart = 1, MasterToMemory = 8, MasterActive = 1, MasterFailed = 2, MasterInterrupt = 4;
    const byte ControlReset = 4, SlWriteThrough = 4;
    const byte ReadSectors = 0x24, WriteSectors = 0x34, ReadDma = 0x25, WriteDma = 0x35, WriteDmaFua = 0x3D,
        ReadVerify = 0x42, FlushCache = 0xEA, StandbyImmediate = 0xE0, IdentifyDevice = 0xEC, SetFeatures = 0xEF;

    // DMA_OPERATIONS.
    const int PutDmaAdapter = 0, AllocateCommonBuffer = 1, FreeCommonBuffer = 2, GetScatterGatherList = 10,
        PutScatterGatherList = 11;

    sealed partial class Disk(AtaDisk driver, DeviceObject self, DeviceObject physical, string name)
    {
        Va _port, _controlPort, _master, _interrupt, _adapter, _table, _list, _data;
        ulong _tableAddress, _deadline;
        long _sector;
        uint _left, _chunk;
        int _tries;
        bool _powered, _held, _writes, _moves, _byDma, _waits;
        byte _status, _error, _masterStatus;

        NtKernel Nt => driver.Nt;
        Memory Memory => driver.Memory;

        public DeviceObject Self { get; } = self;
        public DeviceObject Physical { get; } = physical;
        public DeviceObject Lower { get; set; }
        public Extension Extension { get; } = driver.At<Extension>(self.DeviceExtension);
        public RemoveLock RemoveLock => Extension.RemoveLock;
        public bool IsStarted { get; private set; }
        public bool Gone { get; private set; }

        byte In(int port) => Nt.READ_PORT_UCHAR(_port + port);
        void Out(int port, long value) => Nt.WRITE_PORT_UCHAR(_port + port, (byte)value);
        KInterrupt Interrupt => driver.At<KInterrupt>(_interrupt);

        ulong Dma(int operation, params ReadOnlySpan<ulong> arguments) => driver.Call(
            Memory.Read<Va>(Memory.Read<Va>(_adapter + 8) + 8 + operation * 8), [_adapter.Value, .. arguments]);

        // Waits in place: only for what the drive does at once.
        bool Settle(byte wanted)
        {
            for (int i = 0; i < 2000; i++)
            {
                byte status = Nt.READ_PORT_UCHAR(_controlPort);
                if (status == 0xFF) return false;
                if ((status & StatusBusy) == 0) return (status & wanted) == wanted;
                Nt.KeStallExecutionProcessor(10);
            }
            return false;
        }

        bool Reset()
        {
            Nt.WRITE_PORT_UCHAR(_controlPort, ControlReset);
            Nt.KeStallExecutionProcessor(5);
            Nt.WRITE_PORT_UCHAR(_controlPort, 0);
            return Settle(0);
        }

        // The request is over: the next one begins.
        void End(NtStatus status)
        {
            Irp irp = Self.CurrentIrp;
            ulong done = status.IsSuccess && _moves ? irp.CurrentStackLocation.Length : 0;
            Nt.KeCancelTimer(Extension.Timer);
            Nt.IoStartNextPacket(Self, true);
            driver.Finish(this, irp, status, done);
        }

        void SetWaits(bool waits)
        {
            Irql irql = Nt.KeAcquireInterruptSpinLock(Interrupt);
            _waits = waits;
            Nt.KeReleaseInterruptSpinLock(Interrupt, irql);
        }

        // Nobody interrupts for the present command any more.
        bool TakeBack()
        {
            Irql irql = Nt.KeAcquireInterruptSpinLock(Interrupt);
            bool waited = _waits;
            _waits = false;
            Nt.KeReleaseInterruptSpinLock(Interrupt, irql);
            return waited;
        }

        void FreeList()
        {
            if (!_master.IsNull) Nt.WRITE_PORT_UCHAR(_master + MasterCommand, 0);
            if (!_list.IsNull) Dma(PutScatterGatherList, _list.Value, _writes ? 1UL : 0);
            _list = Va.Null;
        }

        // What went wrong may go well another time.
        void Retry(NtStatus status)
        {
            FreeList();
            if (Gone)
            {
                End(STATUS_DEVICE_REMOVED);
                return;
            }
            bool there = Reset();
            if (!there || _tries++ == Tries) End(there ? status : STATUS_DEVICE_NOT_CONNECTED);
            else Begin();
        }

        // A command on some sectors, with 48 bits of address.
        void Issue(byte command, uint count)
        {
            Irql irql = Nt.KeAcquireInterruptSpinLock(Interrupt);
            _waits = true;
            Out(Device, 0x40);
            Out(Count, count >> 8);
            Out(Low, _sector >> 24);
            Out(Middle, _sector >> 32);
            Out(High, _sector >> 40);
            Out(Count, count);
            Out(Low, _sector);
            Out(Middle, _sector >> 8);
            Out(High, _sector >> 16);
            Out(Status, command);
            Nt.KeReleaseInterruptSpinLock(Interrupt, irql);
            _deadline = Nt.KeQueryInterruptTime() + CommandTicks;
            Nt.KeSetTimer(Extension.Timer, -CommandTicks, Extension.TimeOut);
        }

        // The regions that the device is told: none crosses 64 KiB.
        bool FillTable(Va list)
        {
            const int header = 0x10, element = 0x18;
            int used = 0;
            for (int i = 0; i < Memory.Read<int>(list); i++)
            {
                ulong address = Memory.Read<ulong>(list + header + i * element);
                uint length = Memory.Read<uint>(list + header + i * element + 8);
                // The bus master has words only.
                if (((address | length) & 1) != 0) return false;
                while (length > 0)
                {
                    uint piece = Math.Min(length, 0x1_0000 - (uint)(address & 0xFFFF));
                    if (used * 8 == TableBytes) return false;
                    Memory.Write(_table + used * 8, (uint)address);
                    Memory.Write(_table + used * 8 + 4, piece & 0xFFFF);
                    used++;
                    address += piece;
                    length -= piece;
                }
            }
            Memory.Write(_table + used * 8 - 4, Memory.Read<uint>(_table + used * 8 - 4) | 0x8000_0000);
            return true;
        }

        Va Place => _data + (Self.CurrentIrp.CurrentStackLocation.Length - _left * Sector);

        void BeginByHand()
        {
            _byDma = false;
            if (_data.IsNull)
            {
                _data = driver.MmGetSystemAddressForMdlSafe(Self.CurrentIrp.MdlAddress);
                if (_data.IsNull)
                {
                    End(STATUS_INSUFFICIENT_RESOURCES);
                    return;
                }
            }
            Issue(_writes ? WriteSectors : ReadSectors, _chunk);
            // Without it the drive has refused: its interrupt tells.
            if (_writes && Settle(StatusRequest)) Nt.WRITE_PORT_BUFFER_USHORT(_port + Data, Place, 256);
        }

        public void OnList(Va list)
        {
            bool through = (Self.CurrentIrp.CurrentStackLocation.Flags & SlWriteThrough) != 0;
            _list = list;
            if (!FillTable(list))
            {
                FreeList();
                BeginByHand();
                return;
            }
            byte direction = _writes ? (byte)0 : MasterToMemory;
            _byDma = true;
            Nt.WRITE_PORT_ULONG(_master + MasterTable, (uint)_tableAddress);
            Nt.WRITE_PORT_UCHAR(_master + MasterCommand, direction);
            Nt.WRITE_PORT_UCHAR(_master + MasterStatus, 0x60 | MasterFailed | MasterInterrupt);
            Issue(!_writes ? ReadDma : through ? WriteDmaFua : WriteDma, _chunk);
            Nt.WRITE_PORT_UCHAR(_master + MasterCommand, (byte)(direction | MasterStart));
        }

        // The next part of the request, or the same again.
        void Begin()
        {
            Irp irp = Self.CurrentIrp;
            IoStackLocation at = irp.CurrentStackLocation;
            if (Gone || !IsStarted)
            {
                End(STATUS_DEVICE_REMOVED);
                return;
            }
            // Without power it waits; power that comes begins it.
            _held = !_powered;
            if (_held) return;
            _byDma = false;
            if (!_moves)
            {
                _chunk = Math.Min(_left, 0x1_0000);
                Issue(at.MajorFunction == IRP_MJ_DEVICE_CONTROL ? ReadVerify : FlushCache, _chunk);
                return;
            }
            _chunk = Math.Min(_left, MostSectors);
            Mdl mdl = irp.MdlAddress;
            if (_master.IsNull || _adapter.IsNull || !new NtStatus((uint)Dma(GetScatterGatherList, Self.Address.Value,
                mdl.Address.Value, (mdl.VirtualAddress + (at.Length - _left * Sector)).Value, _chunk * Sector,
                driver.Routine(driver.OnList).Value, Self.Address.Value, _writes ? 1UL : 0)).IsSuccess)
                BeginByHand();
        }

        public void StartIo(Irp irp, bool cancelled)
        {
            IoStackLocation at = irp.CurrentStackLocation;
            _writes = at.MajorFunction == IRP_MJ_WRITE;
            _moves = _writes || at.MajorFunction == IRP_MJ_READ;
            (_tries, _data, _sector, _left) = (0, Va.Null, 0, 0);
            if (_moves) (_sector, _left) = (at.ByteOffset / Sector, at.Length / Sector);
            else if (at.MajorFunction == IRP_MJ_DEVICE_CONTROL)
                (_sector, _left) = (Memory.Read<long>(irp.SystemBuffer) / Sector,
                    Memory.Read<uint>(irp.SystemBuffer + 8) / Sector);
            if (cancelled) End(STATUS_CANCELLED);
            else Begin();
        }

        public bool Isr()
        {
            if (!_waits) return false;
            if (!_master.IsNull)
            {
                _masterStatus = Nt.READ_PORT_UCHAR(_master + MasterStatus);
                if ((_masterStatus & MasterInterrupt) == 0) return false;
                Nt.WRITE_PORT_UCHAR(_master + MasterStatus,
                    (byte)(_masterStatus & 0x60 | MasterFailed | MasterInterrupt));
            }
            // Reading the status quiets the drive.
            _status = In(Status);
            _error = In(Error);
            _waits = false;
            driver.IoRequestDpc(Self, default, Va.Null);
            return true;
        }

        // A sector came, or the next one goes. The drive may interrupt for the one after it at once.
        void MoveByHand()
        {
            Va place = Place;
            bool more = _chunk > 1;
            if (more) SetWaits(true);
            _sector++;
            _left--;
            _chunk--;
            if (!_writes) Nt.READ_PORT_BUFFER_USHORT(_port + Data, place, 256);
            else if (more) Nt.WRITE_PORT_BUFFER_USHORT(_port + Data, place + Sector, 256);
            if (more) return;
            if (_left == 0) End(STATUS_SUCCESS);
            else Begin();
        }

        public void OnInterrupt()
        {
            if (_status == 0xFF)
            {
                FreeList();
                End(STATUS_DEVICE_NOT_CONNECTED);
                return;
            }
            if ((_status & StatusFailed) != 0)
            {
                Retry((_error & ErrorUncorrectable) != 0 ? STATUS_DEVICE_DATA_ERROR
                    : (_error & ErrorNotFound) != 0 ? STATUS_NONEXISTENT_SECTOR : STATUS_IO_DEVICE_ERROR);
                return;
            }
            if (_moves && !_byDma)
            {
                if (!_writes && (_status & StatusRequest) == 0) Retry(STATUS_IO_DEVICE_ERROR);
                else MoveByHand();
                return;
            }
            if (_byDma && (_masterStatus & (MasterFailed | MasterActive)) != 0)
            {
                Retry(STATUS_IO_DEVICE_ERROR);
                return;
            }
            FreeList();
            Nt.KeCancelTimer(Extension.Timer);
            _sector += _chunk;
            _left -= _chunk;
            _tries = 0;
            if (_left == 0) End(STATUS_SUCCESS);
            else Begin();
        }

        // The drive does not answer. The timer may be one of a command that has ended.
        public void OnTimeOut()
        {
            if (Nt.KeQueryInterruptTime() >= _deadline && TakeBack()) Retry(STATUS_IO_TIMEOUT);
        }
    }
}
