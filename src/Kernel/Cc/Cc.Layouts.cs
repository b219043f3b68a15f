using Ringdown.Machine;

namespace Ringdown.Kernel;

[Layout("_SECTION_OBJECT_POINTERS", Size = 0x18)]
public readonly partial struct SectionObjectPointers
{
    [Field(0x00)] public partial Va DataSectionObject { get; set; }
    [Field(0x08)] public partial Va SharedCacheMap { get; set; }
    [Field(0x10)] public partial Va ImageSectionObject { get; set; }
}

[Layout("_CC_FILE_SIZES", Size = 0x18)]
public readonly partial struct CcFileSizes
{
    [Field(0x00)] public partial long AllocationSize { get; set; }
    [Field(0x08)] public partial long FileSize { get; set; }
    [Field(0x10)] public partial long ValidDataLength { get; set; }
}

[Layout("_CACHE_MANAGER_CALLBACKS", Size = 0x20)]
public readonly partial struct CacheManagerCallbacks
{
    [Field(0x00)] public partial Va AcquireForLazyWrite { get; set; }
    [Field(0x08)] public partial Va ReleaseFromLazyWrite { get; set; }
    [Field(0x10)] public partial Va AcquireForReadAhead { get; set; }
    [Field(0x18)] public partial Va ReleaseFromReadAhead { get; set; }
}

[Layout("_CACHE_UNINITIALIZE_EVENT", Size = 0x20)]
public readonly partial struct CacheUninitializeEvent
{
    [Field(0x00)] public partial CacheUninitializeEvent Next { get; set; }
    [Embedded(0x08)] public partial KEvent Event { get; }
}

[Layout("_PUBLIC_BCB", Size = 0x10)]
public readonly partial struct PublicBcb
{
    [Field(0x00)] public partial short NodeTypeCode { get; set; }
    [Field(0x02)] public partial short NodeByteSize { get; set; }
    [Field(0x04)] public partial uint MappedLength { get; set; }
    [Field(0x08)] public partial long MappedFileOffset { get; set; }
}
