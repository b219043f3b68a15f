namespace Ringdown.Machine;

/// <summary>The entries of the optional header's table of directories, in their order.</summary>
public enum PeDirectoryKind
{
    Export, Import, Resource, Exception, Certificate, BaseRelocation, Debug, Architecture,
    GlobalPointer, Tls, LoadConfig, BoundImport, ImportAddressTable, DelayImport, ComDescriptor, Reserved,
}

/// <summary>A table of the image: an RVA, but a file offset for the certificate.</summary>
public readonly record struct PeDirectory(uint Rva, uint Size)
{
    public bool IsPresent => Rva != 0 && Size != 0;
}
