namespace Ringdown.Kernel;

/// <summary>SYSTEM_POWER_STATE: S0 is Working.</summary>
public enum SystemState : uint { Unspecified, Working, Sleeping1, Sleeping2, Sleeping3, Hibernate, Shutdown }

/// <summary>POWER_ACTION: why the system goes into another state.</summary>
public enum PowerAction : uint { None, Reserved, Sleep, Hibernate, Shutdown, ShutdownReset, ShutdownOff, WarmEject }

/// <summary>What ended the system's sleep.</summary>
public enum WakeSource { None, User, Device, Timer }
