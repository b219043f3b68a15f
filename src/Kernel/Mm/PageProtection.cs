using System.Numerics;
using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>PAGE_*: what a caller asks of pages.</summary>
static class PageProtection
{
    public const uint PAGE_NOACCESS = 0x01, PAGE_READONLY = 0x02, PAGE_READWRITE = 0x04, PAGE_WRITECOPY = 0x08,
        PAGE_EXECUTE = 0x10, PAGE_EXECUTE_READ = 0x20, PAGE_EXECUTE_READWRITE = 0x40, PAGE_EXECUTE_WRITECOPY = 0x80,
        PAGE_GUARD = 0x100, PAGE_NOCACHE = 0x200, PAGE_WRITECOMBINE = 0x400;

    const uint Access = 0xFF, Modifiers = PAGE_GUARD | PAGE_NOCACHE | PAGE_WRITECOMBINE;

    /// <summary>Exactly one kind of access, and modifiers that go with it and with each other.</summary>
    public static bool IsValid(uint protect) =>
        (protect & ~(Access | Modifiers)) == 0 && BitOperations.PopCount(protect & Access) == 1
        && ((protect & PAGE_NOACCESS) == 0 || (protect & Modifiers) == 0)
        && BitOperations.PopCount(protect & Modifiers) <= 1;

    /// <summary>What the processor lets the kernel do with such pages. A guard page lets nobody, until it was
    /// touched.</summary>
    public static Protection Of(uint protect) => (protect & PAGE_GUARD) != 0 ? Protection.User
        : Protection.User | (protect & Access) switch
        {
            PAGE_READONLY => Protection.Read,
            PAGE_READWRITE or PAGE_WRITECOPY => Protection.ReadWrite,
            PAGE_EXECUTE or PAGE_EXECUTE_READ => Protection.ReadExecute,
            PAGE_EXECUTE_READWRITE or PAGE_EXECUTE_WRITECOPY => Protection.All,
            _ => Protection.None,
        };

    public static uint From(Protection protection) => (protection & Protection.All) switch
    {
        Protection.Read => PAGE_READONLY,
        Protection.ReadWrite => PAGE_READWRITE,
        Protection.ReadExecute or Protection.Execute => PAGE_EXECUTE_READ,
        Protection.All => PAGE_EXECUTE_READWRITE,
        _ => PAGE_NOACCESS,
    };

    public static bool MayWrite(uint protect) => (protect & (PAGE_READWRITE | PAGE_WRITECOPY | PAGE_EXECUTE_READWRITE
        | PAGE_EXECUTE_WRITECOPY)) != 0 && (protect & PAGE_GUARD) == 0;

    public static bool MayRead(uint protect) => (protect & (PAGE_NOACCESS | PAGE_GUARD)) == 0;

    /// <summary>Whether a view with one protection may be made of a section with another.</summary>
    public static bool Allows(uint section, uint view) =>
        (!MayWrite(view) || MayWrite(section) || (view & (PAGE_WRITECOPY | PAGE_EXECUTE_WRITECOPY)) != 0)
        && ((view & 0xF0) == 0 || (section & 0xF0) != 0);
}
