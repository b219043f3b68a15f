using System.Reflection;
using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>Makes of a C# method what a guest's call enters: arguments out of registers, the result into RAX.</summary>
static class RoutineAdapter
{
    /// <exception cref="ArgumentException">A parameter or the result cannot be in a register.</exception>
    public static Action<NtKernel, GuestCall> Adapt(Delegate routine)
    {
        MethodInfo method = routine.Method;
        Type[] types = [.. routine.GetType().GetMethod("Invoke")!.GetParameters().Select(p => p.ParameterType)];
        bool returns = method.ReturnType != typeof(void);
        foreach (Type type in types) Check(method, type);
        if (returns) Check(method, method.ReturnType);
        if (types.Length > 4) return AdaptMany(routine, types, returns);
        Type[] generic = returns ? [.. types, method.ReturnType] : types;
        string name = (returns ? "Function" : "Procedure") + types.Length;
        MethodInfo adapter = typeof(RoutineAdapter).GetMethod(name, BindingFlags.Static | BindingFlags.NonPublic)!;
        if (generic.Length > 0) adapter = adapter.MakeGenericMethod(generic);
        // A delegate of the caller's own type is one of .NET's as well.
        Delegate plain = Delegate.CreateDelegate(
            System.Linq.Expressions.Expression.GetDelegateType([.. types, method.ReturnType]), routine, "Invoke");
        return (Action<NtKernel, GuestCall>)adapter.Invoke(null, [plain])!;
    }

    static void Check(MethodInfo method, Type type)
    {
        bool fits = type.IsEnum || type.IsPrimitive && type != typeof(float) && type != typeof(double)
            || type == typeof(Va) || type == typeof(Handle) || type == typeof(NtStatus)
            || type.GetCustomAttribute<LayoutAttribute>() is not null;
        if (!fits) throw new ArgumentException($"{method.Name}: a {type.Name} cannot be passed in a register.");
    }

    static Action<NtKernel, GuestCall> Procedure0(Action f) => (_, _) => f();

    static Action<NtKernel, GuestCall> Procedure1<A>(Action<A> f) => (nt, call) => f(Get<A>(nt, call, 0));

    static Action<NtKernel, GuestCall> Procedure2<A, B>(Action<A, B> f) => (nt, call) =>
        f(Get<A>(nt, call, 0), Get<B>(nt, call, 1));

    static Action<NtKernel, GuestCall> Procedure3<A, B, C>(Action<A, B, C> f) => (nt, call) =>
        f(Get<A>(nt, call, 0), Get<B>(nt, call, 1), Get<C>(nt, call, 2));

    static Action<NtKernel, GuestCall> Procedure4<A, B, C, D>(Action<A, B, C, D> f) => (nt, call) =>
        f(Get<A>(nt, call, 0), Get<B>(nt, call, 1), Get<C>(nt, call, 2), Get<D>(nt, call, 3));

    static Action<NtKernel, GuestCall> Function0<R>(Func<R> f) => (_, call) => call.Return(Raw<R>.To(f()));

    static Action<NtKernel, GuestCall> Function1<A, R>(Func<A, R> f) => (nt, call) =>
        call.Return(Raw<R>.To(f(Get<A>(nt, call, 0))));

    static Action<NtKernel, GuestCall> Function2<A, B, R>(Func<A, B, R> f) => (nt, call) =>
        call.Return(Raw<R>.To(f(Get<A>(nt, call, 0), Get<B>(nt, call, 1))));

    static Action<NtKernel, GuestCall> Function3<A, B, C, R>(Func<A, B, C, R> f) => (nt, call) =>
        call.Return(Raw<R>.To(f(Get<A>(nt, call, 0), Get<B>(nt, call, 1), Get<C>(nt, call, 2))));

    static Action<NtKernel, GuestCall> Function4<A, B, C, D, R>(Func<A, B, C, D, R> f) => (nt, call) =>
        call.Return(Raw<R>.To(
            f(Get<A>(nt, call, 0), Get<B>(nt, call, 1), Get<C>(nt, call, 2), Get<D>(nt, call, 3))));

    static T Get<T>(NtKernel nt, GuestCall call, int n) => Raw<T>.From(nt, call.Argument(n));

    // Few routines have more than four parameters: those of fast I/O and of APCs.
    static Action<NtKernel, GuestCall> AdaptMany(Delegate routine, Type[] types, bool returns)
    {
        var from = types.Select(t => Accessor<Func<NtKernel, ulong, object>>(t, nameof(Raw<int>.FromBoxed))).ToArray();
        var to = returns ? Accessor<Func<object, ulong>>(routine.Method.ReturnType, nameof(Raw<int>.ToBoxed)) : null;
        return (nt, call) =>
        {
            object?[] arguments = new object?[from.Length];
            for (int i = 0; i < from.Length; i++) arguments[i] = from[i](nt, call.Argument(i));
            object? result = routine.Method.Invoke(
                routine.Target, BindingFlags.DoNotWrapExceptions, null, arguments, null);
            if (to is not null) call.Return(to(result!));
        };
    }

    static T Accessor<T>(Type type, string name) where T : Delegate =>
        (T)typeof(Raw<>).MakeGenericType(type).GetMethod(name)!.CreateDelegate(typeof(T));
}

/// <summary>A type's values as they stand in a register.</summary>
static class Raw<T>
{
    public static readonly Func<NtKernel, ulong, T> From = MakeFrom();
    public static readonly Func<T, ulong> To = MakeTo();

    public static object FromBoxed(NtKernel nt, ulong raw) => From(nt, raw)!;
    public static ulong ToBoxed(object value) => To((T)value);

    static Func<NtKernel, ulong, T> MakeFrom()
    {
        Delegate made = typeof(T) == typeof(Va) ? (NtKernel _, ulong raw) => new Va(raw)
            : typeof(T) == typeof(Handle) ? (NtKernel _, ulong raw) => new Handle(raw)
            : typeof(T) == typeof(NtStatus) ? (NtKernel _, ulong raw) => new NtStatus((uint)raw)
            : typeof(T) == typeof(bool) ? (NtKernel _, ulong raw) => (byte)raw != 0
            : Views.Make(typeof(T), nameof(Views.From)) ?? Views.MakeNumber(typeof(T), nameof(Views.NumberFrom));
        return (Func<NtKernel, ulong, T>)made;
    }

    static Func<T, ulong> MakeTo()
    {
        Delegate made = typeof(T) == typeof(Va) ? (Va value) => value.Value
            : typeof(T) == typeof(Handle) ? (Handle value) => value.Value
            : typeof(T) == typeof(NtStatus) ? (NtStatus value) => (ulong)value.Value
            : typeof(T) == typeof(bool) ? (bool value) => value ? 1UL : 0UL
            : Views.Make(typeof(T), nameof(Views.To)) ?? Views.MakeNumber(typeof(T), nameof(Views.NumberTo));
        return (Func<T, ulong>)made;
    }
}

/// <summary>The same for views, and for numbers and enumerations of any width.</summary>
static class Views
{
    public static Delegate? Make(Type type, string name)
    {
        if (type.GetCustomAttribute<LayoutAttribute>() is null) return null;
        return MakeNumber(type, name);
    }

    public static Delegate MakeNumber(Type type, string name)
    {
        MethodInfo method = typeof(Views).GetMethod(name)!.MakeGenericMethod(type);
        bool from = method.GetParameters().Length == 2;
        return method.CreateDelegate(from ? typeof(Func<,,>).MakeGenericType(typeof(NtKernel), typeof(ulong), type)
            : typeof(Func<,>).MakeGenericType(type, typeof(ulong)));
    }

    public static T From<T>(NtKernel nt, ulong raw) where T : struct, IView<T> => T.At(nt.Memory, new Va(raw));
    public static ulong To<T>(T view) where T : struct, IView<T> => view.Address.Value;

    // Little-endian: a narrow number is the register's first bytes.
    public static T NumberFrom<T>(NtKernel nt, ulong raw) where T : unmanaged =>
        System.Runtime.CompilerServices.Unsafe.As<ulong, T>(ref raw);

    public static ulong NumberTo<T>(T value) where T : unmanaged
    {
        ulong raw = 0;
        System.Runtime.CompilerServices.Unsafe.As<ulong, T>(ref raw) = value;
        return raw;
    }
}
