namespace Ringdown.Machine;

// How a board describes it.
public sealed partial class AtaChannel
{
    const ushort FirstPort = 0x1F0, ControlPort = 0x3F6;
    const int PrimaryLine = 14;
    const ulong MostSectors = 1UL << 40;

    internal static AtaChannel Make(Computer computer, ChipPlace place)
    {
        place.Only("control", "busMaster", "disks");
        place.Identify("PNP0600", "ATA channel");
        BoardElement description = place.Description;
        if (place.Registers is not null) throw description.Wrong("registers", "it has ports only.");
        var channel = new AtaChannel(place.FindMemory(computer), computer.Clock, place.FindLine(computer, PrimaryLine));
        place.PutPorts(computer, place.Ports ?? FirstPort, 8, channel.Registers, "ports");
        place.PutPorts(computer, (ushort)(description.Number("control", ushort.MaxValue) ?? ControlPort), 1,
            channel.Control, "control");
        if (description.Number("busMaster", ushort.MaxValue) is { } master)
            place.PutPorts(computer, (ushort)master, 8, channel.BusMaster, "busMaster");
        IReadOnlyList<BoardElement> disks = description.Elements("disks");
        if (disks.Count > 2) throw description.Wrong("disks", "there are two at most.");
        bool isCopy = computer.Host is not { WritesImages: true };
        try
        {
            for (int i = 0; i < disks.Count; i++)
                channel.Connect(i, MakeDrive(disks[i], place.Folder, isCopy, $"RD{i:D8}"));
        }
        catch (BoardException)
        {
            channel.Dispose();
            throw;
        }
        return channel;
    }

    static AtaDrive MakeDrive(BoardElement disk, string folder, bool isCopy, string serial)
    {
        disk.Only("sectors", "image", "snapshot", "bad", "seek", "serial");
        IDisk medium = disk.Text("image") is { } image
            ? OpenImage(disk, Path.Combine(folder, image), isCopy || disk.Flag("snapshot"))
            : new MemoryDisk((long)disk.RequiredNumber("sectors", MostSectors));
        var drive = new AtaDrive(
            medium, disk.Text("serial") ?? serial, disk.Has("seek") ? disk.Time("seek") : AtaDrive.OrdinarySeekTicks);
        foreach (ulong bad in disk.Numbers("bad")) drive.Spoil((long)bad);
        return drive;
    }

    static IDisk OpenImage(BoardElement disk, string path, bool isCopy)
    {
        if (disk.Has("sectors")) throw disk.Wrong("sectors", "an image has as many as it has.");
        try
        {
            var image = new ImageDisk(path, writes: !isCopy);
            return isCopy ? new CopyOnWriteDisk(image) : image;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw disk.Wrong("image", e.Message);
        }
    }
}
