using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>A device as a user would list it.</summary>
/// <param name="Name">Its path in the namespace; empty if it has none.</param>
public sealed record DeviceInfo(Va Address, string Name, uint Type, uint Characteristics, uint Flags, int StackSize)
{
    const uint FILE_DEVICE_SECURE_OPEN = 0x100;

    /// <summary>Who may open it, in words.</summary>
    public string OpenedBy =>
        ((Flags & Io.DO_EXCLUSIVE) != 0 ? "one at a time" : "shared")
        + ((Characteristics & FILE_DEVICE_SECURE_OPEN) != 0 ? ""
            : "; names below it are the driver's to guard (no FILE_DEVICE_SECURE_OPEN)");
}

/// <summary>What drivers have left behind.</summary>
public sealed record Leftovers(
    IReadOnlyList<(string Tag, ulong Bytes, string By)> Pool, IReadOnlyList<string> Devices,
        IReadOnlyList<string> Links,
    IReadOnlyList<string> Handles, IReadOnlyList<string> Threads, IReadOnlyList<string> Timers,
        IReadOnlyList<string> Irps)
{
    /// <summary>What stands for a device without a name.</summary>
    public const string Unnamed = "unnamed device";

    /// <summary>Contiguous memory, mappings of physical memory, DMA adapters, and interrupts.</summary>
    public IReadOnlyList<string> Memory { get; init; } = [];
}

/// <summary>Looking at a kernel from outside.</summary>
public sealed partial class NtKernel
{
    /// <summary>The devices of a driver, oldest first.</summary>
    public IReadOnlyList<DeviceInfo> DevicesOf(Driver driver) =>
        [.. KnownDevices(driver).Select(d => new DeviceInfo(
            d.Address, NameOf(d), d.DeviceType, d.Characteristics, d.Flags, d.StackSize)).Reverse()];

    /// <summary>Names of the drivers that are a part of the system: the buses'.</summary>
    public IReadOnlyCollection<string> SystemDrivers =>
        [.. Loader.Images.Where(i => i.Managed?.Assembly == typeof(NtKernel).Assembly).Select(i => i.ModuleName)];
    /// <summary>The driver has AddDevice: plug and play gives it devices.</summary>
    public bool HasAddDevice(Driver driver)
    {
        const int driverExtension = 0x30, addDevice = 8;
        return IsDriverObject(driver) && Memory.TryPeek(driver.Object.Address + driverExtension, out Va extension)
            && Memory.TryPeek(extension + addDevice, out Va routine) && !routine.IsNull;
    }

    // A driver may have broken the list, or deleted its object.
    IEnumerable<DeviceObject> KnownDevices(Driver driver) =>
        IsDriverObject(driver) ? Io.Devices(driver.Object).TakeWhile(IsDevice) : [];

    bool IsDriverObject(Driver driver) => Ob.Find(driver.Object.Address)?.Type == Ob.DriverType;

    /// <summary>A device's path in the namespace; empty if it has none.</summary>
    public string NameOf(DeviceObject device) =>
        Ob.Find(device.Address) is { Parent: not null } named ? named.Path : "";

    /// <summary>A device object is there, deleted or not.</summary>
    public bool IsDevice(DeviceObject device) => Ob.Find(device.Address)?.Type == Ob.DeviceType;

    /// <summary>A device in words: its name in the namespace, else whose it is. Whatever the address.</summary>
    public string DescribeDevice(Va device)
    {
        if (device.IsNull) return "no device";
        if (Ob.Find(device) is { Parent: not null } named) return named.Path;
        string driver = DriverOfDevice(device) ?? "no driver";
        return $"unnamed device of {driver}";
    }

    /// <summary>The same; of an unnamed device it is said above which named one it is.</summary>
    public string DescribeStack(Va device)
    {
        const int deviceObjectExtension = 0x138, attachedTo = 0x30, maximumStack = 64;
        string top = DescribeDevice(device);
        Va below = device;
        // Drivers may have tied it to a ring.
        for (int i = 0; i < maximumStack && Ob.Find(below) is { Parent: null }; i++)
        {
            if (!Memory.TryPeek(below + deviceObjectExtension, out Va extension)
                || !Memory.TryPeek(extension + attachedTo, out below)) break;
            if (Ob.Find(below) is { Parent: not null } named) return $"{top}, above {named.Path}";
        }
        return top;
    }

    /// <summary>The name of the driver that a device belongs to; null if there is none at the address.</summary>
    public string? DriverOfDevice(Va device)
    {
        const int driverObjectOffset = 8;
        return Memory.TryPeek(device + driverObjectOffset, out ulong driver)
            ? Loader.Drivers.FirstOrDefault(d => d.Object.Address.Value == driver)?.Name : null;
    }

    /// <summary>Where a thread stands that waits in a driver, and for ever; empty if none does.</summary>
    public IReadOnlyList<StackFrame> StackOfWaiting() => Ke.Scheduler.StackOfWaiting();

    /// <summary>Pool by tags, as poolmon lists it: what was allocated and freed since the machine booted.</summary>
    public IReadOnlyList<PoolTagUsage> PoolTags() => Mm.Pool.Statistics.All;

    /// <summary>Pages that were mapped with another way of caching than they had.</summary>
    public IReadOnlyList<CacheConflict> CacheConflicts => Mm.Caching.Conflicts;

    /// <summary>Symbolic links that drivers made, and where they point.</summary>
    public IReadOnlyList<(string Link, string Target)> Links() => Links(_ => true);

    IReadOnlyList<(string Link, string Target)> Links(Func<Va, bool> madeBy) =>
        [.. Ob.OfType(Ob.LinkType).Where(l => l.Parent is not null && l.Parent != Ob.Root && madeBy((Va)l.State!))
            .Select(l => (l.Path.Replace(@"\GLOBAL??", @"\??"), l.Target!)).OrderBy(
                l => l.Item1, StringComparer.Ordinal)];

    /// <summary>The major functions for which a driver has routines, and where they are.</summary>
    public IReadOnlyList<(IrpMajor Major, Va Routine)> HandledBy(Driver driver) =>
        IsDriverObject(driver) ? [.. Io.Handled(driver.Object).Select(m => (m, driver.Object.MajorFunction(m)))] : [];

    /// <summary>What of a driver is still there after it was unloaded.</summary>
    public Leftovers LeftBy(Driver driver)
    {
        LoadedImage image = driver.Image;
        return new Leftovers(
            [.. Mm.Pool.Blocks.Where(b => !b.Owner.IsNull && image.Contains(b.Owner)).Select(
                b => (b.TagText, b.Bytes, Loader.Describe(b.Owner)))],
            [.. KnownDevices(driver).Select(
                d => NameOf(d) is { Length: > 0 } name ? name : Leftovers.Unnamed)],
            [.. Links(image.Contains).Select(l => $"{l.Link} -> {l.Target}")],
            [.. Ps.All.SelectMany(p => p.Handles.Entries).Select(h => h.Entry).Where(h => image.Contains(h.Owner))
                .Select(h => $"{h.Object.Type.Name} {h.Object.Path}, opened by {Loader.Describe(h.Owner)}")],
            [.. Ke.Scheduler.Threads.Where(t => image.Contains(t.StartRoutine)).Select(t => t.Name)],
            [.. Ke.Timers.Pending.Where(
                t =>
                    Mm.Pool.Near(t) is { } block ? image.Contains(block.Owner) : image.Contains(t)).Select(t =>
                        $"KTIMER {t}")],
            [.. Io.LiveIrps.Where(r => r.Origin != IrpOrigin.Raw && !r.IsInPort).Select(r => $"IRP {r.Address}")])
        {
            Memory = [.. Mm.LeftBy(image.Contains), .. Hal.AdaptersLeftBy(image.Contains),
                .. Ke.Interrupts.LeftBy(image.Contains)],
        };
    }

    /// <summary>The system's error log: what drivers wrote by IoWriteErrorLogEntry, oldest first.</summary>
    public IReadOnlyList<ErrorLogEntry> ErrorLog => Io.ErrorLog;

    /// <summary>Ends the system: devices that are registered for it, and file systems, get IRP_MJ_SHUTDOWN.</summary>
    public void Shutdown()
    {
        BeginRequest();
        User.AsUser(() =>
        {
            Io.Shutdown();
            return Ke.RunUntilIdle();
        });
    }

    /// <summary>Puts the system to sleep, or turns it off, as its user does: devices are asked and told. From a state
    /// of sleep it is awake again when this returns.</summary>
    /// <param name="wakeAfter">In 100 ns: when the user wakes it. Null: in an hour, if nothing else does.</param>
    /// <returns>What a driver said that refused, or success.</returns>
    public NtStatus SetSystemState(SystemState state, long? wakeAfter = null)
    {
        BeginRequest();
        return User.AsUser(() => Po.SetSystemState(state, null, wakeAfter));
    }

    /// <summary>The same for want of work: not if a driver needs the system.</summary>
    /// <returns>False if the system stays awake.</returns>
    public bool SleepIfIdle(long? wakeAfter = null) =>
        !Po.IsHeldAwake && SetSystemState(SystemState.Sleeping3, wakeAfter).IsSuccess;

    /// <summary>Takes the power of all devices whose drivers let the power framework direct them, or gives it
    /// back.</summary>
    /// <returns>How many devices were told.</returns>
    public int DirectPower(bool down)
    {
        BeginRequest();
        int told = 0;
        User.AsUser(() =>
        {
            foreach (FxDevice device in Po.FxDevices.ToArray())
                if (device.Direct(down)) told++;
            return Ke.RunUntilIdle();
        });
        return told;
    }

    /// <summary>Gives a power setting another value; drivers that registered for it are told.</summary>
    public void SetPowerSetting(Guid setting, byte[] value)
    {
        BeginRequest();
        User.AsUser(() =>
        {
            Po.Settings.Set(setting, value);
            return Status.STATUS_SUCCESS;
        });
    }

    /// <summary>The registry at a path of the kernel and below, but what is volatile, as a .reg file has it.</summary>
    public RegistryDocument SaveRegistry(string path = @"\Registry\Machine") => Cm.Save(path);

    /// <summary>Does what a .reg file says.</summary>
    public void ApplyRegistry(RegistryDocument document) => Cm.Apply(document);

    /// <summary>Where some data lies, in words: in a driver's image, in a block of pool, or the address.</summary>
    public string DescribeData(Va address)
    {
        if (Loader.ImageAt(address) is { } image) return $"at {image.ModuleName}+0x{address - image.Base:x}";
        if (Mm.Pool.Near(address) is not { } block || address < block.Address) return $"at {address}";
        return $"at 0x{address - block.Address:x} in the block {block.Address} with tag '{block.TagText}'";
    }

    /// <summary>The text of a UNICODE_STRING in guest memory, or null if it cannot be read.</summary>
    public string? TryText(ulong unicodeString)
    {
        try
        {
            return UnicodeString.At(Memory, new Va(unicodeString)).Text;
        }
        catch (PageFault)
        {
            return null;
        }
    }
}
