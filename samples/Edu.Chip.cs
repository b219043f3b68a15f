using Ringdown.Kernel;
using Ringdown.Machine;
using static Ringdown.Kernel.Status;

namespace Ringdown.Samples;

// The chip at work. All of it is done by one DPC, which has its processor: it never runs twice at once, so slots and
// transfer need no lock. Only what the service routine has seen is shared with another.
public sealed partial class Edu
{
    const int SlotCount = 16, ConnectedOffset = 0x168, ContextsOffset = 0x170;
    const uint BufferBytes = 0x1000, Identification = 0x52440100;
    const int Id = 0x00, InterruptStatus = 0x0C, InterruptEnable = 0x10, InterruptAck = 0x18, JobArgument = 0x20,
        JobSubmit = 0x24, DoneCount = 0x30, DoneId = 0x34, DoneResult = 0x38, DonePop = 0x40, DmaAddress = 0x50,
        DmaOffset = 0x58, DmaLength = 0x5C, DmaCommand = 0x60, DmaFault = 0x64, DmaBits = 0x68, RegisterBytes = 0x80;
    const uint JobDone = 1, TransferDone = 2, TransferFault = 4, All = 7;
    const uint ToChip = 1, FromChip = 3, AboveLimit = 1, OutsideBuffer = 2;

    // DMA_OPERATIONS, and a SCATTER_GATHER_LIST.
    const int PutDmaAdapter = 0, GetScatterGatherList = 10, PutScatterGatherList = 11;
    const int ListHeader = 0x10, ElementBytes = 0x18;

    // A job in the chip. Its request is in the queue Running, under Context, until it is canceled.
    sealed class Slot(IoCsqIrpContext context)
    {
        public IoCsqIrpContext Context { get; } = context;
        public uint Id { get; set; }
    }

    // What follows what all have in the extension.
    [Layout("EDU", Size = ContextsOffset + SlotCount * 0x18)]
    public readonly partial struct EduExtension
    {
        [Embedded(0x48)] public partial RequestQueue Jobs { get; }
        [Embedded(0xA0)] public partial RequestQueue Running { get; }
        [Embedded(0xF8)] public partial RequestQueue Transfers { get; }
        [Embedded(0x150)] public partial KEvent Idle { get; }
        [Field(ConnectedOffset)] public partial Va Connected { get; set; }
    }

    sealed class Card(DeviceObject self, Extension x, EduExtension more, Slot[] slots) : Device(self, x)
    {
        public EduExtension More { get; } = more;
        public Slot[] Slots { get; } = slots;
        public uint LastId { get; set; }
        public Va Registers { get; set; }
        public ulong RegisterBytes { get; set; }
        public uint Connection { get; set; }
        public KInterrupt Interrupt { get; set; }
        public Va Adapter { get; set; }
        public int Requests { get; set; }
        public bool Held { get; set; } = true;
        public uint Jobs { get; set; }
        public uint Dropped { get; set; }
        public uint Pieces { get; set; }
        public uint Faults { get; set; }

        // The transfer that the chip does, piece by piece.
        public Irp Transfer { get; set; }
        public Va List { get; set; }
        public int Element { get; set; }
        public uint Done { get; set; }
        public bool ToChip { get; set; }

        // With the service routine.
        public uint Raised { get; set; }
        public uint Taken { get; set; }
    }

    uint In(Card x, int at) => Nt.READ_REGISTER_ULONG(x.Registers + at);

    void Out(Card x, int at, uint value) => Nt.WRITE_REGISTER_ULONG(x.Registers + at, value);

    ulong Dma(Card x, int operation, params ReadOnlySpan<ulong> arguments) => Call(
        Memory.Read<Va>(Memory.Read<Va>(x.Adapter + 8) + 8 + operation * 8), [x.Adapter.Value, .. arguments]);

    // A message is sent when the chip begins to interrupt: it must have stopped before this returns.
    byte Isr(KInterrupt interrupt, Va context)
    {
        Card x = CardOf(context);
        bool mine = false;
        while (true)
        {
            uint raised = In(x, InterruptStatus) & In(x, InterruptEnable);
            // A chip that is gone, or has no power, reads as ones.
            if (raised is 0 or uint.MaxValue) break;
            Out(x, InterruptAck, raised);
            x.Raised |= raised;
            mine = true;
        }
        if (mine) IoRequestDpc(x.Self, default, Va.Null);
        return mine ? (byte)1 : (byte)0;
    }

    byte MessageIsr(KInterrupt interrupt, Va context, uint message) => Isr(interrupt, context);

    byte TakeRaised(Va context)
    {
        Card x = CardOf(context);
        (x.Taken, x.Raised) = (x.Raised, 0);
        return 1;
    }

    static Slot? FindSlot(Card x, uint id) => Array.Find(x.Slots, s => s.Id == id);

    static bool IsIdle(Card x) => x.Transfer.IsNull && Array.TrueForAll(x.Slots, s => s.Id == 0);

    void StartJobs(Card x)
    {
        while (FindSlot(x, 0) is { } slot && Nt.IoCsqRemoveNextIrp(x.More.Jobs.Csq, Va.Null) is { IsNull: false } irp)
        {
            uint argument = Memory.Read<uint>(irp.SystemBuffer);
            if (++x.LastId == 0) x.LastId = 1;
            slot.Id = x.LastId;
            // From here on it may be canceled, and gone.
            Nt.IoCsqInsertIrp(x.More.Running.Csq, irp, slot.Context);
            Out(x, JobArgument, argument);
            Out(x, JobSubmit, slot.Id);
        }
    }

    // Takes the oldest result off. Nobody wants that of a job whose request was canceled.
    void EndJob(Card x)
    {
        Slot? slot = FindSlot(x, In(x, DoneId));
        ulong result = In(x, DoneResult) | (ulong)In(x, DoneResult + 4) << 32;
        Out(x, DonePop, 1);
        if (slot is null) return;
        Irp irp = Nt.IoCsqRemoveIrp(x.More.Running.Csq, slot.Context);
        slot.Id = 0;
        if (irp.IsNull)
        {
            x.Dropped++;
            return;
        }
        x.Jobs++;
        Memory.Write(irp.SystemBuffer, result);
        End(irp, STATUS_SUCCESS, 8);
    }

    void EndJobs(Card x)
    {
        uint count = In(x, DoneCount);
        for (; count is > 0 and <= SlotCount; count--) EndJob(x);
    }

    void StartPiece(Card x)
    {
        Va piece = x.List + ListHeader + x.Element * ElementBytes;
        Out(x, DmaAddress, Memory.Read<uint>(piece));
        Out(x, DmaAddress + 4, Memory.Read<uint>(piece + 4));
        Out(x, DmaOffset, Memory.Read<uint>(x.Transfer.SystemBuffer) + x.Done);
        Out(x, DmaLength, Memory.Read<uint>(piece + 8));
        Out(x, DmaCommand, x.ToChip ? ToChip : FromChip);
    }

    // Called at once, or when there is memory that the chip can reach.
    void OnList(DeviceObject device, Irp irp, Va list, Va context)
    {
        Card x = CardOf(context);
        x.List = list;
        StartPiece(x);
    }

    // At DISPATCH_LEVEL. Giving the list back brings the bytes to where they were wanted.
    void EndTransfer(Card x, NtStatus status)
    {
        Irp irp = x.Transfer;
        if (!x.List.IsNull) Dma(x, PutScatterGatherList, x.List.Value, x.ToChip ? 1UL : 0);
        (x.List, x.Transfer) = (Va.Null, default);
        End(irp, status, status.IsSuccess ? x.Done : 0);
    }

    void StartTransfer(Card x)
    {
        while (x.Transfer.IsNull)
        {
            Irp irp = Nt.IoCsqRemoveNextIrp(x.More.Transfers.Csq, Va.Null);
            if (irp.IsNull) return;
            IoStackLocation location = irp.CurrentStackLocation;
            Mdl mdl = irp.MdlAddress;
            (x.Transfer, x.Element, x.Done, x.ToChip) = (irp, 0, 0, location.IoControlCode == PutCode);
            var status = new NtStatus((uint)Dma(x, GetScatterGatherList, x.Self.Address.Value, mdl.Address.Value,
                mdl.VirtualAddress.Value, location.OutputBufferLength, Routine(OnList).Value, x.Self.Address.Value,
                x.ToChip ? 1UL : 0));
            if (!status.IsSuccess) EndTransfer(x, status);
        }
    }

    static NtStatus FaultStatus(uint fault) => fault switch
    {
        AboveLimit => STATUS_INVALID_ADDRESS,
        OutsideBuffer => STATUS_INVALID_PARAMETER,
        _ => STATUS_DEVICE_DATA_ERROR,
    };

    // Anybody can raise the chip's interrupt: it is asked whether it is done.
    void EndPiece(Card x, bool failed)
    {
        if (x.List.IsNull || In(x, DmaCommand) != 0) return;
        if (failed)
        {
            x.Faults++;
            EndTransfer(x, FaultStatus(In(x, DmaFault)));
            return;
        }
        x.Pieces++;
        x.Done += Memory.Read<uint>(x.List + ListHeader + x.Element * ElementBytes + 8);
        if (++x.Element < Memory.Read<int>(x.List)) StartPiece(x);
        else EndTransfer(x, STATUS_SUCCESS);
    }

    // What has ended ends; what waits begins, where there is room. Held, it only says when nothing is under way any
    // more.
    void Work(KDpc dpc, DeviceObject device, Irp irp, Va context)
    {
        var x = (Card)DeviceOf(device);
        Nt.KeSynchronizeExecution(x.Interrupt, Routine(TakeRaised), x.Self.Address);
        uint raised = x.Taken;
        if ((raised & JobDone) != 0) EndJobs(x);
        if ((raised & (TransferDone | TransferFault)) != 0) EndPiece(x, (raised & TransferFault) != 0);
        if (!x.Held)
        {
            StartJobs(x);
            StartTransfer(x);
        }
        else if (IsIdle(x)) Nt.KeSetEvent(x.More.Idle, 0, false);
    }
}
