using Ringdown.Machine;

namespace Ringdown.Kernel;

// What observers hear of transfers.
sealed partial class Hal
{
    public void Boot()
    {
        nt.Computer.Iommu.Refused = (chip, address, isWrite) => nt.OnDmaUsed(
            new DmaUse(DmaStep.Refused, Va.Null)
            {
                Node = nt.Pnp.Nodes.FirstOrDefault(n => Buses.FindChip(nt.Computer, n) == chip),
                Physical = address,
                ToDevice = !isWrite,
            });
        nt.Computer.Pci.TouchedAsleep = (bar, offset, isWrite) => nt.OnTouchedAsleep(
            new TouchedAsleep(bar, offset, isWrite));
    }

    void TellMapping(
        DmaStep step, DmaAdapter adapter, MapRegisters? set, Mdl mdl, Va current, uint length, bool toDevice)
    {
        nt.OnDmaUsed(new DmaUse(step, adapter.Address)
        {
            Registers = set?.Base ?? Va.Null,
            Mdl = mdl,
            Current = current,
            Length = length,
            ToDevice = toDevice,
            IsCopied = set is { Bounces: true },
        });
    }

    void TellList(DmaStep step, Va list, DmaAdapter adapter, MapRegisters set, ListWish wish, bool toDevice) =>
        nt.OnDmaUsed(new DmaUse(step, adapter.Address)
        {
            Buffer = list,
            Registers = set.Base,
            Mdl = wish.Mdl,
            Current = wish.Current,
            Length = wish.Length,
            ToDevice = toDevice,
            IsCopied = set.Bounces,
        });

    void TellFreed(DmaAdapter adapter, MapRegisters? set) =>
        nt.OnDmaUsed(new DmaUse(DmaStep.ChannelFreed, adapter.Address) { Registers = set?.Base ?? Va.Null });
}
