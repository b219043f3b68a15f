using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>A block of data that a device provides.</summary>
/// <param name="Device">The device in words.</param>
/// <param name="Instances">The names of its instances, 1024 at most.</param>
public sealed record WmiGuid(Guid Guid, string Device, WmiRegFlags Flags, IReadOnlyList<string> Instances);

public sealed record WmiInstance(string Name, byte[] Data);

/// <summary>An event that a program has received.</summary>
/// <param name="Instance">The instance that it is about; empty if it names none.</param>
/// <param name="Data">What comes with it; of an event that is no instance, all behind its WNODE_HEADER.</param>
public sealed record WmiEvent(Guid Guid, string Instance, byte[] Data);

/// <summary>WMI as a program uses it. Each call first lets the machine do what it has to do, and runs until the answer
/// is there.</summary>
/// <remarks>Results are what the driver answered; STATUS_WMI_GUID_NOT_FOUND and STATUS_WMI_INSTANCE_NOT_FOUND where
/// nobody was asked.</remarks>
public sealed class WmiClient
{
    const uint MaximumNames = 1024;

    readonly NtKernel _nt;

    internal WmiClient(NtKernel nt) => _nt = nt;

    /// <summary>The blocks that devices have registered, in the order in which they did.</summary>
    public IReadOnlyList<WmiGuid> Guids
    {
        get
        {
            _nt.User.RunUntilIdle();
            return [.. _nt.Wmi.Providers.SelectMany(p => p.Blocks.Select(b => new WmiGuid(
                b.Guid, _nt.DescribeDevice(p.Device.Address), b.Flags,
                [.. Enumerable.Range(0, b.IsDynamic ? 0 : (int)Math.Min(b.InstanceCount, MaximumNames))
                    .Select(i => b.NameOf((uint)i))])))];
        }
    }

    /// <summary>All instances of all devices that have the block.</summary>
    public NtStatus QueryAllData(Guid guid, out IReadOnlyList<WmiInstance> instances)
    {
        List<byte[]> nodes = [];
        NtStatus status = Do(() => _nt.Wmi.QueryAllData(guid, out nodes));
        instances = [.. nodes.SelectMany(Wmi.InstancesOf).Select(i => new WmiInstance(i.Name, i.Data))];
        return status;
    }

    public NtStatus QuerySingleInstance(Guid guid, string instance, out byte[] data)
    {
        byte[] node = [];
        NtStatus status = Do(() => _nt.Wmi.QuerySingleInstance(guid, instance, out node));
        data = Wmi.DataOf(node);
        return status;
    }

    public NtStatus SetSingleInstance(Guid guid, string instance, byte[] data) =>
        Do(() => _nt.Wmi.SetSingleInstance(guid, instance, data));

    /// <summary>Sets one of the items of an instance, which count from 1.</summary>
    public NtStatus SetSingleItem(Guid guid, string instance, uint item, byte[] data) =>
        Do(() => _nt.Wmi.SetSingleItem(guid, instance, item, data));

    public NtStatus ExecuteMethod(Guid guid, string instance, uint method, byte[] input, out byte[] output)
    {
        byte[] answer = [];
        NtStatus status = Do(() => _nt.Wmi.ExecuteMethod(guid, instance, method, input, out answer));
        output = answer;
        return status;
    }

    /// <summary>From now on events of a GUID are received; a device that has the block only later is told
    /// then.</summary>
    public NtStatus EnableEvents(Guid guid) => Do(() => _nt.Wmi.EnableForPrograms(guid, true));

    public NtStatus DisableEvents(Guid guid) => Do(() => _nt.Wmi.EnableForPrograms(guid, false));

    /// <summary>The latest events that were received, oldest first, 256 at most.</summary>
    public IReadOnlyList<WmiEvent> Events
    {
        get
        {
            _nt.User.RunUntilIdle();
            return _nt.Wmi.Received;
        }
    }

    /// <returns>STATUS_PENDING if a driver keeps an IRP and nothing more happens.</returns>
    NtStatus Do(Func<NtStatus> action)
    {
        NtStatus? result = null;
        _nt.User.RunUntilIdle();
        _nt.User.Call(() =>
        {
            _nt.Ex.PoolOf(Wdm.DelayedWorkQueue).Queue(() => result = action());
            return _nt.Ke.RunUntilIdle();
        });
        return result ?? STATUS_PENDING;
    }
}
