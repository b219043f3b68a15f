using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>A process: what of it is not in its EPROCESS.</summary>
sealed class NtProcess(Se se, EProcess process, string imageName, AddressSpace addressSpace, Token token)
{
    public EProcess Object { get; } = process;

    /// <summary>The path of its image as NT has it.</summary>
    public string ImageName { get; } = imageName;
    public AddressSpace AddressSpace { get; } = addressSpace;
    public HandleTable Handles { get; } = new();
    public ulong Id => Object.UniqueProcessId;

    /// <summary>The primary token: the one that EPROCESS points to now, whoever wrote that.</summary>
    public Token Token => se.Find(Object.Token) ?? OwnToken;

    /// <summary>The token that the kernel gave it, and holds a reference to.</summary>
    public Token OwnToken { get; set; } = token;
}

/// <summary>Whom a thread acts as instead of its process.</summary>
sealed record Impersonation(Token Token, ImpersonationLevel Level, bool CopyOnOpen, bool EffectiveOnly);
