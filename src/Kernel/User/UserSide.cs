using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>The user's side of I/O: what a program does with CreateFile, ReadFile, WriteFile and
/// DeviceIoControl.</summary>
/// <remarks>Files are opened for overlapped I/O: a request that the driver keeps does not stop the caller.</remarks>
public sealed partial class UserSide
{
    readonly NtKernel _nt;

    internal UserSide(NtKernel nt) =>
        (_nt, Win32, Devices, Wmi) = (nt, new Win32(nt, this), new DeviceTree(nt), new WmiClient(nt));

    /// <summary>The same as a program of Windows sees it.</summary>
    public Win32 Win32 { get; }

    /// <summary>Devices and their drivers, as a setup program handles them.</summary>
    public DeviceTree Devices { get; }

    /// <summary>Blocks of data, methods and events of devices, as WMI's programs see them.</summary>
    public WmiClient Wmi { get; }

    /// <summary>CreateFile on a Win32 path such as <c>\\.\Echo</c>, or on a path of the object namespace.</summary>
    public NtStatus CreateFile(string path, out UserFile? file, OpenOptions? options = null)
    {
        file = null;
        _nt.BeginRequest();
        string ntPath = ToNtPath(path);
        NtObject? opened = null;
        NtStatus status = AsUser(() =>
            _nt.Io.Open(ntPath, ProcessorMode.UserMode, options ?? OpenOptions.ReadWrite, out opened, out _));
        if (!status.IsSuccess || opened is null) return status;
        Handle handle = _nt.Ob.Open(
            opened, (options ?? OpenOptions.ReadWrite).DesiredAccess, kernelHandle: false);
        _nt.Ob.Dereference(opened);
        file = new UserFile(_nt, this, path, handle, FileObject.At(_nt.Memory, opened.Body));
        return status;
    }

    /// <summary><c>\\.\X</c> and <c>\\?\X</c> are <c>\??\X</c>.</summary>
    public static string ToNtPath(string path) =>
        path.StartsWith(@"\\.\", StringComparison.Ordinal) || path.StartsWith(@"\\?\", StringComparison.Ordinal)
            ? @"\??\" + path[4..]
        : path.StartsWith('\\') ? path : @"\??\" + path;

    /// <summary>Runs the machine until nothing more happens by itself.</summary>
    public void RunUntilIdle()
    {
        _nt.BeginRequest();
        AsUser(() => _nt.Ke.RunUntilIdle());
    }

    /// <summary>Runs the machine as long as something may come from outside of the process; without that, until nothing
    /// more happens.</summary>
    public void Serve()
    {
        _nt.BeginRequest();
        AsUser(() => _nt.Computer.HostInput is null ? _nt.Ke.RunUntilIdle() : _nt.Io.AwaitNothing());
    }

    /// <summary>Cancels what the user's threads have under way, as the end of their process does, and lets the machine
    /// run.</summary>
    public void CancelPending()
    {
        _nt.BeginRequest();
        AsUser(() =>
        {
            Va process = _nt.Ps.UserProcess.Address;
            foreach (NtThread thread in _nt.Ke.Scheduler.Threads.Where(t => t.Object.Process == process).ToArray())
                _nt.Io.CancelOf(thread);
            return _nt.Ke.RunUntilIdle();
        });
    }

    /// <summary>Does several things at once, each in a thread of its own in the user's process; returns when all are
    /// done.</summary>
    public void Concurrently(params IReadOnlyList<Action> bodies)
    {
        _nt.BeginRequest();
        var threads = new List<NtObject>();
        for (int i = 0; i < bodies.Count; i++)
        {
            Action body = bodies[i];
            Va start = _nt.Routines.Add("user thread", (_, _) => body());
            NtThread thread = _nt.Ps.StartThread($"user {i + 1}", _nt.Ps.UserProcess, start, Va.Null);
            threads.Add(_nt.Ob.At(thread.Object.Address));
            _nt.Ob.Reference(threads[^1]);
        }
        AsUser(() => _nt.Ke.WaitFor(
            [.. threads.Select(t => DispatcherHeader.At(_nt.Memory, t.Body))], all: true, deadline: null));
        foreach (NtObject thread in threads) _nt.Ob.Dereference(thread);
    }

    /// <summary>A service call from user mode: an exception raised in it is its status, a stop of the machine gets its
    /// report.</summary>
    internal NtStatus AsUser(Func<NtStatus> service) => Enter(() => CallAsUser(service));

    /// <summary>Runs services as a thread of the user's process calls them: by their Nt names, in user mode.</summary>
    public NtStatus Call(Func<NtStatus> service)
    {
        _nt.BeginRequest();
        return AsUser(service);
    }

    NtStatus CallAsUser(Func<NtStatus> service)
    {
        KThread thread = _nt.Ke.CurrentThread;
        thread.PreviousMode = 1;
        try
        {
            NtStatus status = service();
            // Those that wait for an alertable wait go on doing so.
            if (_nt.Ke.Irql == Irql.PASSIVE_LEVEL && thread.UserApcPending) _nt.Ke.DeliverUserApcs();
            if (_nt.Ke.Irql != Irql.PASSIVE_LEVEL)
                throw new BugCheck(BugCheckCode.IRQL_GT_ZERO_AT_SYSTEM_SERVICE, 0, (ulong)_nt.Ke.Irql);
            if (thread.KernelApcDisable != 0)
                throw new BugCheck(BugCheckCode.APC_INDEX_MISMATCH, 0, 0, (ulong)(ushort)thread.KernelApcDisable);
            return status;
        }
        catch (PageFault fault)
        {
            throw _nt.Reported(_nt.StopFor(fault));
        }
        catch (GuestException exception)
        {
            return new NtStatus(exception.Record.Code);
        }
        catch (MachineStop stop) when (_nt.Ke.Report(stop))
        {
            throw;
        }
        finally
        {
            thread.PreviousMode = 0;
        }
    }
}
