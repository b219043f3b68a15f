namespace Ringdown.Kernel;

/// <summary>Privileges: the low part of their LUID, whose high part is zero.</summary>
static class Privilege
{
    public const ulong SeCreateToken = 2, SeAssignPrimaryToken = 3, SeLockMemory = 4, SeIncreaseQuota = 5,
        SeUnsolicitedInput = 6, SeTcb = 7, SeSecurity = 8, SeTakeOwnership = 9, SeLoadDriver = 10,
        SeSystemProfile = 11, SeSystemtime = 12, SeProfileSingleProcess = 13, SeIncreaseBasePriority = 14,
        SeCreatePagefile = 15, SeCreatePermanent = 16, SeBackup = 17, SeRestore = 18, SeShutdown = 19, SeDebug = 20,
        SeAudit = 21, SeSystemEnvironment = 22, SeChangeNotify = 23, SeRemoteShutdown = 24, SeUndock = 25,
        SeSyncAgent = 26, SeEnableDelegation = 27, SeManageVolume = 28, SeImpersonate = 29, SeCreateGlobal = 30,
        SeTrustedCredManAccess = 31, SeRelabel = 32, SeIncreaseWorkingSet = 33, SeTimeZone = 34,
        SeCreateSymbolicLink = 35, SeDelegateSessionUserImpersonate = 36;

    public const ulong First = SeCreateToken, Last = SeDelegateSessionUserImpersonate;

    public const uint SE_PRIVILEGE_ENABLED_BY_DEFAULT = 1, SE_PRIVILEGE_ENABLED = 2, SE_PRIVILEGE_REMOVED = 4,
        SE_PRIVILEGE_USED_FOR_ACCESS = 0x8000_0000;

    public const uint OnByDefault = SE_PRIVILEGE_ENABLED | SE_PRIVILEGE_ENABLED_BY_DEFAULT;
}
