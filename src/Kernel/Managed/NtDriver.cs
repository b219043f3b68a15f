using Ringdown.Machine;
using static Ringdown.Kernel.Irql;

namespace Ringdown.Kernel;

/// <summary>A driver written in C#. Its assembly is loaded as a .sys is: it gets an image, a driver object and a
/// service key, and its routines have addresses that anyone may call.</summary>
/// <remarks>
/// The kernel's exports are methods of <see cref="Nt"/>, structures are views. What a C driver has in global variables
/// are fields here: each machine makes an instance of its own. A routine that throws is a bug check with the .NET
/// stack; an exception of NT's (<see cref="GuestException"/>, <see cref="PageFault"/>) may be caught, as by
/// <c>__try</c>. A loop that never calls the kernel cannot be stopped from outside.
/// </remarks>
public abstract partial class NtDriver
{
    internal ManagedImage Image { get; set; } = null!;

    /// <summary>The machine's kernel. Its methods are the exports, under the same contracts as from C.</summary>
    public NtKernel Nt => Image.Nt;

    protected Memory Memory => Nt.Memory;

    /// <summary>Sets up the driver object: dispatch routines, devices, DriverUnload.</summary>
    /// <param name="driverObject">The driver's own object.</param>
    /// <param name="registryPath">The path of the driver's service key; it is gone when this returns.</param>
    [IrqlRequiresMax(PASSIVE_LEVEL)]
    public abstract NtStatus DriverEntry(DriverObject driverObject, UnicodeString registryPath);

    /// <summary>The address of a routine: what the kernel, or another driver, calls it by. The same routine has the
    /// same address, which it keeps until the machine ends.</summary>
    /// <param name="routine">A method or lambda whose parameters are views, <see cref="Va"/>, <see cref="Handle"/>,
    /// numbers or enumerations; it returns one of these, or nothing.</param>
    /// <exception cref="ArgumentException">A parameter cannot be passed in a register.</exception>
    protected Va Routine(Delegate routine) => Image.AddressOf(routine);

    /// <summary>A constant string in the driver's image, as RTL_CONSTANT_STRING makes it.</summary>
    protected UnicodeString Text(string text) => Image.Constant(text);

    /// <summary>Room for a local variable on the kernel stack, zeroed. It is gone when the routine returns.</summary>
    protected Va Local(int sizeBytes) => Image.Local(sizeBytes);

    /// <summary>A structure on the kernel stack, zeroed. It is gone when the routine returns.</summary>
    protected T Local<T>() where T : struct, IView<T> => T.At(Memory, Image.Local(T.Size));

    /// <summary>Where what is local in a method ends: <c>using LocalFrame frame = Frame();</c> gives back at its end
    /// what the method has taken of the stack. For methods that are called again and again before the routine
    /// returns.</summary>
    protected LocalFrame Frame() => new(Image);

    /// <summary>The structure at an address.</summary>
    protected T At<T>(Va address) where T : struct, IView<T> => T.At(Memory, address);

    /// <summary>Calls a routine by its address: a callback, or what <see cref="Import"/> has found.</summary>
    protected ulong Call(Va routine, params ReadOnlySpan<ulong> arguments) => Nt.Routines.Call(routine, arguments);

    /// <summary>An export of another driver that is loaded; null if it has none of the name. The other one is not
    /// unloaded, and not told by DllUnload, before this driver is gone.</summary>
    /// <param name="module">Its file name: <c>exports.sys</c>.</param>
    protected Va Import(string module, string name) => Image.Import(module, name);

    /// <summary>As the export, with a .NET string and a result.</summary>
    [IrqlRequiresMax(APC_LEVEL)]
    protected NtStatus IoCreateDevice(DriverObject driverObject, int deviceExtensionSize, string deviceName,
        uint deviceType, uint deviceCharacteristics, bool exclusive, out DeviceObject deviceObject)
    {
        using LocalFrame frame = Frame();
        Va made = Local(8);
        UnicodeString name = deviceName.Length == 0 ? At<UnicodeString>(Va.Null) : Text(deviceName);
        NtStatus status = Nt.IoCreateDevice(driverObject, (uint)deviceExtensionSize, name, deviceType,
            deviceCharacteristics, exclusive, made);
        deviceObject = At<DeviceObject>(Memory.Read<Va>(made));
        return status;
    }

    [IrqlRequiresMax(PASSIVE_LEVEL)]
    protected NtStatus IoCreateSymbolicLink(string symbolicLinkName, string deviceName) =>
        Nt.IoCreateSymbolicLink(Text(symbolicLinkName), Text(deviceName));

    [IrqlRequiresMax(PASSIVE_LEVEL)]
    protected NtStatus IoDeleteSymbolicLink(string symbolicLinkName) =>
        Nt.IoDeleteSymbolicLink(Text(symbolicLinkName));

    /// <summary>As the export, with a .NET string and results. The file object is the caller's to dereference, and with
    /// it the device stays.</summary>
    [IrqlRequiresMax(PASSIVE_LEVEL)]
    protected NtStatus IoGetDeviceObjectPointer(
        string objectName, uint desiredAccess, out FileObject fileObject, out DeviceObject deviceObject)
    {
        Va file = Local(8), device = Local(8);
        NtStatus status = Nt.IoGetDeviceObjectPointer(Text(objectName), desiredAccess, file, device);
        fileObject = At<FileObject>(Memory.Read<Va>(file));
        deviceObject = At<DeviceObject>(Memory.Read<Va>(device));
        return status;
    }

    /// <summary>Completes an IRP: sets its status block and hands it to the I/O manager.</summary>
    /// <returns>The status, so that a dispatch routine can return it.</returns>
    [IrqlRequiresMax(DISPATCH_LEVEL)]
    protected NtStatus Complete(Irp irp, NtStatus status, ulong information = 0, sbyte priorityBoost = 0)
    {
        irp.IoStatus = new IoStatusBlock(status, information);
        Nt.IofCompleteRequest(irp, priorityBoost);
        return status;
    }

    /// <summary>In the filter of a <c>catch</c>: the code of an exception that <c>__except</c> would see. Null for
    /// others: those of .NET, and a wild address of the system's, which no handler sees.</summary>
    protected NtStatus? GetExceptionCode(Exception exception) => exception switch
    {
        GuestException raised => new NtStatus(raised.Record.Code),
        PageFault fault when fault.Address.Value < Nt.Mm.MmUserProbeAddress => Status.STATUS_ACCESS_VIOLATION,
        _ => null,
    };

    /// <summary>As the export, with a result: the IRQL to release it with.</summary>
    [IrqlRequiresMax(DISPATCH_LEVEL)]
    protected Irql IoAcquireCancelSpinLock()
    {
        Va irql = Local(1);
        Nt.IoAcquireCancelSpinLock(irql);
        return Memory.Read<Irql>(irql);
    }

    /// <summary>Prints to the debugger; a line ends with <c>\n</c>.</summary>
    protected void DbgPrint(string text)
    {
        using LocalFrame frame = Frame();
        byte[] bytes = [.. System.Text.Encoding.Latin1.GetBytes(text.Replace("%", "%%")), 0];
        Va format = Local(bytes.Length);
        Memory.Write(format, bytes);
        Nt.DbgPrint(format, new VarArgs(Memory, format));
    }
}

/// <summary>A part of the kernel stack, given back at the end of a <c>using</c>.</summary>
public readonly struct LocalFrame : IDisposable
{
    readonly ManagedImage _image;
    readonly ulong _before;

    internal LocalFrame(ManagedImage image) => (_image, _before) = (image, image.Locals);

    public void Dispose() => _image.Locals = _before;
}

/// <summary>A routine of a C# driver that other drivers import, under the method's own name. <c>DllInitialize</c> and
/// <c>DllUnload</c> mean what they mean in C.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class DriverExportAttribute : Attribute;
