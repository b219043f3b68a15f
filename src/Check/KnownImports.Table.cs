namespace Ringdown.Check;

/// <summary>Functions that real drivers import, by module (undocumented: in no import library), and how many of 469 x64
/// drivers import each (260 shipped ones, 209 built from public sources).</summary>
public static partial class KnownImports
{
    const string Table = """
        ntoskrnl.exe
        IofCompleteRequest:372 IoCreateDevice:370 RtlInitUnicodeString:368 IoDeleteDevice:365
        IoCreateSymbolicLink:290 IoDeleteSymbolicLink:286 ZwClose:236 ExAllocatePoolWithTag:226 KeBugCheckEx:218
        ExFreePoolWithTag:205 MmUnmapIoSpace:202 MmMapIoSpace:192 DbgPrint:190 ObfDereferenceObject:187
        KeWaitForSingleObject:174 __C_specific_handler:172 KeInitializeEvent:169 IofCallDriver:160
        ObReferenceObjectByHandle:150 KeSetEvent:147 RtlCopyUnicodeString:138 IoFreeMdl:135
        KeAcquireSpinLockRaiseToDpc:121 KeReleaseSpinLock:120 IoAllocateMdl:119 MmMapLockedPagesSpecifyCache:119
        RtlFreeUnicodeString:107 ExFreePool:104 ZwQueryValueKey:104 memset:99 RtlAssert:98
        MmGetSystemRoutineAddress:95 ZwOpenKey:95 KeInitializeDpc:94 KeDelayExecutionThread:93
        PoStartNextPowerIrp:92 PoCallDriver:90 IoBuildDeviceIoControlRequest:86 IoDetachDevice:86 KeClearEvent:85
        ZwMapViewOfSection:84 ZwUnmapViewOfSection:84 IoAttachDeviceToDeviceStack:83 RtlCompareMemory:78
        ZwOpenSection:78 memmove:77 MmBuildMdlForNonPagedPool:76 ZwSetValueKey:76 IoBuildSynchronousFsdRequest:75
        MmUnlockPages:74 IoFreeIrp:72 MmProbeAndLockPages:72 RtlQueryRegistryValues:71 KeInsertQueueDpc:68
        ObfReferenceObject:68 KeCancelTimer:67 MmGetPhysicalAddress:67 PsCreateSystemThread:67 ExAcquireFastMutex:66
        ExReleaseFastMutex:66 IoRegisterDeviceInterface:65 IoSetDeviceInterfaceState:64 memcpy:64
        IoAllocateWorkItem:63 IoQueueWorkItem:63 KeInitializeTimer:63 IoReleaseCancelSpinLock:62 KeSetTimer:62
        RtlAppendUnicodeToString:62 IoFreeWorkItem:61 ZwCreateFile:61 ZwCreateKey:61 MmUnmapLockedPages:60
        IoAllocateIrp:57 PsTerminateSystemThread:55 PoSetPowerState:53 KeEnterCriticalRegion:52
        KeLeaveCriticalRegion:52 IoWMIRegistrationControl:50 PoRequestPowerIrp:50 KeAcquireSpinLockAtDpcLevel:49
        RtlAppendUnicodeStringToString:48 ZwWriteFile:48 IoConnectInterrupt:47 IoDisconnectInterrupt:45
        IoGetAttachedDeviceReference:45 IoGetCurrentProcess:45 IoGetDeviceObjectPointer:45
        IoOpenDeviceRegistryKey:45 KeReleaseSpinLockFromDpcLevel:45 RtlAnsiStringToUnicodeString:44
        ObOpenObjectByPointer:43 wcslen:42 ExAllocatePool:40 IoGetDeviceProperty:40 MmMapLockedPages:40
        RtlGetVersion:40 _wcsnicmp:40 ExInterlockedInsertTailList:39 IoFileObjectType:39
        MmAllocateContiguousMemory:38 IoAcquireCancelSpinLock:37 IoIsWdmVersionAvailable:37
        RtlCreateSecurityDescriptor:37 RtlSetDaclSecurityDescriptor:37 IoInitializeRemoveLockEx:36
        KeInitializeMutex:36 KeReleaseMutex:36 DbgPrintEx:35 ExDeleteResourceLite:35 ExInitializeResourceLite:35
        IoAcquireRemoveLockEx:35 RtlInitAnsiString:35 SeExports:35 ZwOpenFile:35 _snwprintf:35 swprintf:35
        ExpInterlockedPopEntrySList:34 IoCancelIrp:34 IoReleaseRemoveLockEx:34 RtlCompareUnicodeString:34
        ExpInterlockedPushEntrySList:33 MmFreeContiguousMemory:33 MmIsAddressValid:33
        RtlUnicodeStringToAnsiString:33 ExQueryDepthSList:32 KeQueryTimeIncrement:32 PsGetCurrentProcessId:32
        RtlAddAccessAllowedAce:32 wcschr:32 ExAcquireResourceExclusiveLite:31 ExReleaseResourceLite:31
        RtlEqualUnicodeString:31 ZwSetSecurityObject:31 IoReleaseRemoveLockAndWaitEx:30 KeQueryActiveProcessors:30
        ExQueueWorkItem:29 IoIs32bitProcess:29 _vsnwprintf:29 ExInitializeNPagedLookasideList:28
        KeWaitForMultipleObjects:28 RtlLengthSecurityDescriptor:28 RtlLengthSid:28 ZwReadFile:28 strlen:28
        IoAllocateErrorLogEntry:27 IoInvalidateDeviceRelations:27 KeSetPriorityThread:27 KeSetTimerEx:27
        ProbeForRead:27 RtlAbsoluteToSelfRelativeSD:27 ExAcquireResourceSharedLite:26 IoGetDmaAdapter:26
        IoWriteErrorLogEntry:26 RtlGetOwnerSecurityDescriptor:26 ExDeleteNPagedLookasideList:25
        IoRegisterShutdownNotification:25 KeInitializeSemaphore:25 KeReleaseSemaphore:25 KeSynchronizeExecution:25
        RtlGetDaclSecurityDescriptor:25 RtlIntegerToUnicodeString:25 ZwQuerySystemInformation:25
        ExEventObjectType:24 IoRegisterPlugPlayNotification:24 KeReadStateEvent:24 KeStackAttachProcess:24
        KeUnstackDetachProcess:24 ProbeForWrite:24 PsGetVersion:24 RtlGetGroupSecurityDescriptor:24 _vsnprintf:23
        ExInterlockedRemoveHeadList:22 ExUnregisterCallback:22 RtlFreeAnsiString:22 RtlWriteRegistryValue:22
        strncmp:22 strncpy:22 vsprintf:22 ExAllocatePool2:21 IoAllocateDriverObjectExtension:21
        IoUnregisterPlugPlayNotification:21 RtlUpcaseUnicodeString:21 ZwQueryInformationFile:21 sprintf:21
        DbgBreakPoint:20 ExCreateCallback:20 ExRegisterCallback:20 IoGetDriverObjectExtension:20 wcsstr:20
        IoForwardIrpSynchronously:19 KeInitializeTimerEx:19 KeResetEvent:19
        MmAllocateContiguousMemorySpecifyCache:19 ZwEnumerateKey:19 strstr:19 IoStartNextPacket:18
        IoUnregisterShutdownNotification:18 KeRemoveQueueDpc:18 ObQueryNameString:18 PsProcessType:18
        RtlTimeToTimeFields:18 ExSystemTimeToLocalTime:17 FsRtlIsNameInExpression:17 IoBuildPartialMdl:17
        IoGetTopLevelIrp:17 PsLookupProcessByProcessId:17 PsThreadType:17 RtlStringFromGUID:17
        ZwEnumerateValueKey:17 ZwQueryInformationProcess:17 ExRaiseStatus:16 IoAttachDeviceToDeviceStackSafe:16
        IoGetConfigurationInformation:16 IoGetRelatedDeviceObject:16 PsGetCurrentThreadId:16
        PsLookupThreadByThreadId:16 IoBuildAsynchronousFsdRequest:15 IoRegisterFileSystem:15
        IoSetHardErrorOrVerifyDevice:15 IoSetTopLevelIrp:15 MmFreeContiguousMemorySpecifyCache:15
        RtlInitializeBitMap:15 SeSinglePrivilegeCheck:15 CcUninitializeCacheMap:14 IoCheckShareAccess:14
        IoGetRequestorProcess:14 IoRemoveShareAccess:14 KeBugCheck:14 RtlDeleteRegistryValue:14
        ZwSetInformationFile:14 wcsncpy:14 CcInitializeCacheMap:13 CcSetFileSizes:13 FsRtlCheckLockForReadAccess:13
        FsRtlFastUnlockAll:13 IoGetStackLimits:13 IoInvalidateDeviceState:13 IoIsOperationSynchronous:13
        IoSetShareAccess:13 KeNumberProcessors:13 MmFlushImageSection:13 NlsMbCodePageTag:13
        ObReferenceObjectByName:13 PsSetCreateProcessNotifyRoutine:13 RtlInitString:13 ZwDeleteKey:13
        ZwOpenSymbolicLinkObject:13 wcsncmp:13 CcPurgeCacheSection:12 ExGetPreviousMode:12
        FsRtlDoesNameContainWildCards:12 FsRtlIsNtstatusExpected:12 FsRtlNotifyCleanup:12
        FsRtlNotifyFullChangeDirectory:12 FsRtlNotifyInitializeSync:12 FsRtlProcessFileLock:12
        IoAcquireVpbSpinLock:12 IoReleaseVpbSpinLock:12 IoStartPacket:12 MmCanFileBeTruncated:12
        MmQuerySystemSize:12 PsGetProcessId:12 RtlAnsiCharToUnicodeChar:12 RtlUnicodeStringToInteger:12 strcmp:12
        CcCopyRead:11 CcFlushCache:11 CcMdlReadComplete:11 ExAcquireFastMutexUnsafe:11 ExAllocatePoolWithQuotaTag:11
        ExConvertExclusiveToSharedLite:11 ExIsResourceAcquiredExclusiveLite:11 ExReleaseFastMutexUnsafe:11
        InitSafeBootMode:11 IoVerifyVolume:11 PsRemoveLoadImageNotifyRoutine:11 RtlCreateAcl:11
        SeReleaseSubjectContext:11 ZwQuerySymbolicLinkObject:11 _wcsicmp:11 wcsrchr:11 CcCanIWrite:10 CcCopyWrite:10
        CcMdlRead:10 CcSetReadAheadGranularity:10 ExReleaseResourceForThreadLite:10 ExUuidCreate:10
        FsRtlCheckLockForWriteAccess:10 FsRtlCheckOplock:10 FsRtlCopyRead:10 FsRtlFastCheckLockForRead:10
        FsRtlInitializeFileLock:10 FsRtlInitializeOplock:10 FsRtlOplockFsctrl:10 FsRtlTeardownPerStreamContexts:10
        FsRtlUninitializeFileLock:10 FsRtlUninitializeOplock:10 IoCreateFile:10 IoGetDeviceInterfaces:10
        IoGetDeviceToVerify:10 IoGetFileObjectGenericMapping:10 IoSetDeviceToVerify:10 IoUnregisterFileSystem:10
        IoUpdateShareAccess:10 ObReferenceObjectByPointer:10 PsSetLoadImageNotifyRoutine:10 RtlClearBits:10
        RtlUnicodeToMultiByteN:10 SeCaptureSubjectContext:10 ZwLoadDriver:10 _strnicmp:10 CcMdlWriteComplete:9
        ExAcquireSharedStarveExclusive:9 FsRtlFastUnlockAllByKey:9 FsRtlFastUnlockSingle:9
        FsRtlNotifyUninitializeSync:9 FsRtlOplockIsFastIoPossible:9 FsRtlPrivateLock:9 IoInitializeTimer:9
        IoReuseIrp:9 IoThreadToProcess:9 IoWMIWriteEvent:9 KeFlushQueuedDpcs:9 KeRemoveEntryDeviceQueue:9
        NtBuildNumber:9 RtlPrefixUnicodeString:9 RtlSetBits:9 RtlTimeFieldsToTime:9 RtlUnwindEx:9
        ZwAllocateVirtualMemory:9 ZwDeleteValueKey:9 ZwQueryKey:9 ZwWaitForSingleObject:9 _stricmp:9 wcscpy:9
        CcDeferWrite:8 CcPrepareMdlWrite:8 CcWaitForCurrentLazyWriterActivity:8 ExInitializePagedLookasideList:8
        ExInterlockedInsertHeadList:8 FsRtlCopyWrite:8 FsRtlFastCheckLockForWrite:8 FsRtlNotifyFullReportChange:8
        FsRtlNotifyVolumeEvent:8 FsRtlRegisterFileSystemFilterCallbacks:8 IoCreateStreamFileObject:8
        IoEnumerateDeviceObjectList:8 IoMakeAssociatedIrp:8 IoStartTimer:8 IoStopTimer:8
        KeAcquireInStackQueuedSpinLock:8 KeReleaseInStackQueuedSpinLock:8 KeSetSystemAffinityThread:8
        MmFreePagesFromMdl:8 MmMapIoSpaceEx:8 ObCloseHandle:8 PsGetThreadProcess:8
        PsSetCreateProcessNotifyRoutineEx:8 RtlCreateRegistryKey:8 SePrivilegeCheck:8 ZwCreateSection:8
        ZwFreeVirtualMemory:8 ZwQueryDirectoryFile:8 _snprintf:8 CcUnpinData:7 ExDeletePagedLookasideList:7
        ExIsResourceAcquiredSharedLite:7 FsRtlAreNamesEqual:7 FsRtlCurrentBatchOplock:7 FsRtlDissectName:7
        FsRtlLegalAnsiCharacterArray:7 FsRtlMdlReadCompleteDev:7 FsRtlMdlReadDev:7 FsRtlMdlWriteCompleteDev:7
        FsRtlNormalizeNtstatus:7 FsRtlPrepareMdlWriteDev:7 IoCsqRemoveNextIrp:7 IoGetLowerDeviceObject:7
        IoRaiseHardError:7 IoRaiseInformationalHardError:7 IoReportTargetDeviceChangeAsynchronous:7
        KeAcquireInterruptSpinLock:7 KeReleaseInterruptSpinLock:7 MmAllocatePagesForMdl:7 MmLockPagableDataSection:7
        MmUnlockPagableImageSection:7 NlsOemLeadByteInfo:7 NtClose:7 ObOpenObjectByName:7 PsInitialSystemProcess:7
        PsRemoveCreateThreadNotifyRoutine:7 PsSetCreateThreadNotifyRoutine:7 RtlCreateUnicodeString:7
        RtlMultiByteToUnicodeN:7 RtlMultiByteToUnicodeSize:7 SeAccessCheck:7 ZwOpenDirectoryObject:7 memcmp:7
        vDbgPrintEx:7 CcZeroData:6 ExSetResourceOwnerPointer:6 HalDispatchTable:6 IoCheckEaBufferValidity:6
        IoCreateSynchronizationEvent:6 IoGetRequestorProcessId:6 IoInitializeIrp:6
        IoOpenDeviceInterfaceRegistryKey:6 IoQueryDeviceDescription:6 IoReportDetectedDevice:6 KeAttachProcess:6
        KeDetachProcess:6 KeQuerySystemTimePrecise:6 KeSetImportanceDpc:6 MmAllocateNonCachedMemory:6
        MmFreeNonCachedMemory:6 ObRegisterCallbacks:6 ObUnRegisterCallbacks:6 RtlAreBitsClear:6 RtlClearAllBits:6
        RtlEqualSid:6 RtlEqualString:6 RtlFindClearBits:6 RtlGenerate8dot3Name:6 RtlUpcaseUnicodeChar:6
        RtlUpperString:6 RtlxAnsiStringToUnicodeSize:6 SeLockSubjectContext:6 SeUnlockSubjectContext:6 CcMapData:5
        CcPinRead:5 CcSetDirtyPinnedData:5 CmUnRegisterCallback:5 EtwRegister:5 EtwUnregister:5
        FsRtlAddLargeMcbEntry:5 FsRtlGetFileSize:5 FsRtlGetNextLargeMcbEntry:5 FsRtlInitializeLargeMcb:5
        FsRtlLookupLargeMcbEntry:5 FsRtlTruncateLargeMcb:5 FsRtlUninitializeLargeMcb:5
        IoCreateUnprotectedSymbolicLink:5 IoCsqInitialize:5 IoCsqInsertIrp:5 IoGetDeviceAttachmentBaseRef:5
        IoIsSystemThread:5 IoWMIDeviceObjectToProviderId:5 KdDebuggerEnabled:5 KeAcquireGuardedMutex:5
        KeInitializeGuardedMutex:5 KeQueryActiveProcessorCount:5 KeReleaseGuardedMutex:5 KiBugCheckData:5
        MmPageEntireDriver:5 MmSystemRangeStart:5 PsGetThreadProcessId:5 RtlCheckRegistryKey:5
        RtlDeleteElementGenericTable:5 RtlFindNextForwardRunClear:5 RtlImageNtHeader:5 RtlInitializeGenericTable:5
        RtlRandomEx:5 RtlSetBit:5 RtlSetOwnerSecurityDescriptor:5 RtlUnicodeStringToOemString:5 SeAssignSecurity:5
        SeQuerySecurityDescriptorInfo:5 SeTokenType:5 ZwCreateDirectoryObject:5 ZwCreateEvent:5
        ZwDeviceIoControlFile:5 ZwOpenEvent:5 ZwQueryVolumeInformationFile:5 ZwUnloadDriver:5 wcscat:5 wcscpy_s:5
        ExAcquireRundownProtection:4 ExAcquireSharedWaitForExclusive:4
        ExEnterCriticalRegionAndAcquireResourceExclusive:4 ExInterlockedAddUlong:4 ExLocalTimeToSystemTime:4
        ExReleaseResourceAndLeaveCriticalRegion:4 ExReleaseRundownProtection:4 FsRtlAllocatePoolWithTag:4
        FsRtlIsFatDbcsLegal:4 FsRtlNumberOfRunsInLargeMcb:4 FsRtlPostStackOverflow:4 FsRtlRemoveLargeMcbEntry:4
        IoRegisterDriverReinitialization:4 KdSystemDebugControl:4 KeAreAllApcsDisabled:4 MmAllocatePagesForMdlEx:4
        MmGetPhysicalMemoryRanges:4 NlsMbOemCodePageTag:4 PsDereferencePrimaryToken:4 PsGetCurrentProcessSessionId:4
        PsGetThreadId:4 PsReferencePrimaryToken:4 RtlCaptureStackBackTrace:4 RtlCompareString:4 RtlDelete:4
        RtlDeleteElementGenericTableAvl:4 RtlDowncaseUnicodeString:4 RtlFindClearBitsAndSet:4 RtlFreeOemString:4
        RtlGUIDFromString:4 RtlInitializeGenericTableAvl:4 RtlInitializeSid:4 RtlInsertElementGenericTable:4
        RtlInsertElementGenericTableAvl:4 RtlNumberOfClearBits:4 RtlNumberOfSetBits:4
        RtlOemStringToCountedUnicodeString:4 RtlOemToUnicodeN:4 RtlSetGroupSecurityDescriptor:4 RtlSplay:4
        RtlSubAuthoritySid:4 RtlUnicodeStringToCountedOemString:4 RtlUnicodeToMultiByteSize:4
        RtlValidRelativeSecurityDescriptor:4 RtlxOemStringToUnicodeSize:4 SeQueryInformationToken:4
        SeSetSecurityDescriptorInfo:4 ZwFsControlFile:4 atoi:4 strcpy:4 towupper:4 wcscmp:4 CcMdlWriteAbort:3
        CcSetAdditionalCacheAttributes:3 CmRegisterCallbackEx:3 EtwWriteTransfer:3 ExAllocatePoolWithTagPriority:3
        ExDeleteLookasideListEx:3 ExEnterCriticalRegionAndAcquireResourceShared:3 ExInitializeLookasideListEx:3
        ExTryToAcquireFastMutex:3 FsRtlAreThereCurrentOrInProgressFileLocks:3 FsRtlCheckOplockEx:3
        FsRtlOplockBreakH:3 FsRtlOplockIsSharedRequest:3 FsRtlPostPagingFileStackOverflow:3
        InbvCheckDisplayOwnership:3 InbvNotifyDisplayOwnershipLost:3 InitializeSListHead:3 IoAssignResources:3
        IoCsqInitializeEx:3 IoGetTransactionParameterBlock:3 IoQueryFileDosDeviceName:3
        IoRegisterLastChanceShutdownNotification:3 IoReportResourceForDetection:3 IoRequestDeviceEject:3
        IoSetStartIoAttributes:3 IoSetThreadHardErrorMode:3 IoVolumeDeviceToDosName:3 IoWMIOpenBlock:3
        KdDebuggerNotPresent:3 KeAcquireInStackQueuedSpinLockAtDpcLevel:3 KeAreApcsDisabled:3
        KeCapturePersistentThreadState:3 KeDeregisterBugCheckCallback:3 KeInitializeQueue:3 KeInsertQueue:3
        KeRegisterBugCheckCallback:3 KeReleaseInStackQueuedSpinLockFromDpcLevel:3 KeRemoveDeviceQueue:3
        MmDoesFileHaveUserWritableReferences:3 MmGetVirtualForPhysical:3 MmIsDriverVerifying:3 ObCreateObject:3
        ObGetFilterVersion:3 ObGetObjectSecurity:3 ObReleaseObjectSecurity:3 RtlCaptureContext:3
        RtlEnumerateGenericTableWithoutSplaying:3 RtlFindLongestRunClear:3 RtlFindUnicodePrefix:3
        RtlInitializeUnicodePrefix:3 RtlInsertUnicodePrefix:3 RtlIsNameLegalDOS8Dot3:3
        RtlLookupElementGenericTable:3 RtlLookupElementGenericTableAvl:3 RtlNumberGenericTableElementsAvl:3
        RtlOemStringToUnicodeString:3 RtlRemoveUnicodePrefix:3 RtlTimeToSecondsSince1970:3 RtlUTF8ToUnicodeN:3
        SeCreateClientSecurity:3 SeQueryAuthenticationIdToken:3 SeTokenObjectType:3 ZwNotifyChangeKey:3
        ZwPowerInformation:3 towlower:3 wcsncat:3 CcGetFileObjectFromBcb:2 CcIsThereDirtyData:2 CcPinMappedData:2
        CcPreparePinWrite:2 CcRepinBcb:2 CcSetBcbOwnerPointer:2 CcUnpinDataForThread:2 CcUnpinRepinnedBcb:2
        CmCallbackGetKeyObjectIDEx:2 CmCallbackReleaseKeyObjectIDEx:2 DbgBreakPointWithStatus:2
        ExGetExclusiveWaiterCount:2 ExGetSharedWaiterCount:2 ExInitializeRundownProtection:2
        ExIsProcessorFeaturePresent:2 ExfAcquirePushLockExclusive:2 ExfAcquirePushLockShared:2 ExfReleasePushLock:2
        FsRtlAddToTunnelCache:2 FsRtlAllocateFileLock:2 FsRtlAllocatePoolWithQuotaTag:2 FsRtlBalanceReads:2
        FsRtlCurrentOplockH:2 FsRtlDeleteKeyFromTunnelCache:2 FsRtlDeleteTunnelCache:2 FsRtlDeregisterUncProvider:2
        FsRtlDismountComplete:2 FsRtlFindExtraCreateParameter:2 FsRtlFindInTunnelCache:2 FsRtlFreeFileLock:2
        FsRtlGetEcpListFromIrp:2 FsRtlGetNextFileLock:2 FsRtlGetSectorSizeInformation:2 FsRtlInitializeTunnelCache:2
        FsRtlIsDbcsInExpression:2 FsRtlIsEcpFromUserMode:2 FsRtlIsTotalDeviceFailure:2
        FsRtlLookupLastLargeMcbEntryAndIndex:2 FsRtlNotifyCleanupAll:2 FsRtlNotifyFilterChangeDirectory:2
        FsRtlNotifyFilterReportChange:2 FsRtlRegisterUncProvider:2 IoCreateStreamFileObjectLite:2 IoCsqInsertIrpEx:2
        IoGetAttachedDevice:2 IoQueueWorkItemEx:2 IoReadPartitionTableEx:2 IoRegisterFsRegistrationChange:2
        IoSetCompletionRoutineEx:2 IoWMIQueryAllData:2 KdDisableDebugger:2 KeDeregisterBugCheckReasonCallback:2
        KeInitializeDeviceQueue:2 KePulseEvent:2 KeReadStateMutex:2 KeReadStateQueue:2
        KeRegisterBugCheckReasonCallback:2 KeRemoveQueueEx:2 KeRevertToUserAffinityThread:2 KeRundownQueue:2
        LdrAccessResource:2 LdrFindResource_U:2 MmForceSectionClosed:2 MmIsNonPagedSystemAddressValid:2
        MmLockPagableSectionByHandle:2 MmResetDriverPaging:2 MmUserProbeAddress:2 ObDereferenceObjectDeferDelete:2
        ObInsertObject:2 PcwAddInstance:2 PcwRegister:2 PcwUnregister:2 PsGetProcessCreateTimeQuadPart:2
        PsGetProcessExitStatus:2 PsGetThreadExitStatus:2 PsIsThreadTerminating:2 PsRevertToSelf:2 RtlAreBitsSet:2
        RtlClearBit:2 RtlEnumerateGenericTableAvl:2 RtlFindFirstRunClear:2 RtlFindMessage:2
        RtlImageDirectoryEntryToData:2 RtlSecondsSince1970ToTime:2 RtlSelfRelativeToAbsoluteSD:2 RtlSetAllBits:2
        RtlUnwind:2 RtlUpcaseUnicodeStringToCountedOemString:2 RtlVerifyVersionInfo:2 RtlWalkFrameChain:2
        RtlxUnicodeStringToOemSize:2 SeAssignSecurityEx:2 SeCreateClientSecurityFromSubjectContext:2 SeFilterToken:2
        SeImpersonateClient:2 SeImpersonateClientEx:2 TmTransactionObjectType:2 VerSetConditionMask:2
        ZwQuerySecurityObject:2 vDbgPrintExWithPrefix:2 wcsncpy_s:2 CcCoherencyFlushAndPurgeCache:1 CcCopyReadEx:1
        CcCopyWriteEx:1 CcCopyWriteWontFlush:1 CcFastCopyRead:1 CcFastCopyWrite:1 CcSetAdditionalCacheAttributesEx:1
        CmGetBoundTransaction:1 CmGetCallbackVersion:1 CmSetCallbackObjectContext:1 DbgPrompt:1
        DbgQueryDebugFilterState:1 EtwSetInformation:1 ExAcquireRundownProtectionCacheAware:1 ExAllocateTimer:1
        ExCancelTimer:1 ExDeleteTimer:1 ExGetCurrentProcessorCounts:1 ExGetCurrentProcessorCpuUsage:1
        ExInitializeRundownProtectionCacheAware:1 ExInitializeZone:1 ExInterlockedAddLargeInteger:1
        ExInterlockedPopEntryList:1 ExInterlockedPushEntryList:1 ExQueryTimerResolution:1
        ExReInitializeRundownProtectionCacheAware:1 ExReleaseRundownProtectionCacheAware:1 ExSemaphoreObjectType:1
        ExSetTimer:1 ExSizeOfRundownProtectionCacheAware:1 ExVerifySuite:1
        ExWaitForRundownProtectionReleaseCacheAware:1 FsRtlAllocateExtraCreateParameter:1
        FsRtlAllocateExtraCreateParameterList:1 FsRtlAreThereWaitingFileLocks:1
        FsRtlAreVolumeStartupApplicationsComplete:1 FsRtlCheckLockForOplockRequest:1 FsRtlFreeExtraCreateParameter:1
        FsRtlFreeExtraCreateParameterList:1 FsRtlInsertExtraCreateParameter:1 FsRtlLookupLastLargeMcbEntry:1
        FsRtlMupGetProviderInfoFromFileObject:1 FsRtlRegisterUncProviderEx:1 FsRtlUpdateDiskCounters:1
        FsRtlValidateReparsePointBuffer:1 HalExamineMBR:1 HalPrivateDispatchTable:1 HeadlessDispatch:1
        IoAttachDevice:1 IoAttachDeviceByPointer:1 IoCreateDisk:1 IoCreateFileEx:1 IoCsqRemoveIrp:1
        IoGetDiskDeviceObject:1 IoGetInitialStack:1 IoGetPagingIoPriority:1 IoGetRequestorSessionId:1
        IoReadDiskSignature:1 IoRegisterBootDriverCallback:1 IoRegisterBootDriverReinitialization:1
        IoRetrievePriorityInfo:1 IoSetPartitionInformation:1 IoSetPartitionInformationEx:1 IoSetSystemPartition:1
        IoUnregisterBootDriverCallback:1 IoVolumeDeviceToGuid:1 IoVolumeDeviceToGuidPath:1
        IoWMISetNotificationCallback:1 IoWithinStackLimits:1 IoWritePartitionTableEx:1 KdEnableDebugger:1
        KdRefreshDebuggerNotPresent:1 KeExpandKernelStackAndCalloutEx:1 KeGetCurrentThread:1
        KeGetRecommendedSharedDataAlignment:1 KeInitializeCrashDumpHeader:1 KeInsertByKeyDeviceQueue:1
        KeIpiGenericCall:1 KeLoaderBlock:1 KeRegisterNmiCallback:1 KeRemoveByKeyDeviceQueue:1 KeRemoveQueue:1
        KeTestSpinLock:1 MmAllocateMdlForIoSpace:1 MmIsThisAnNtAsSystem:1 MmPrefetchPages:1 MmSizeOfMdl:1
        NtFsControlFile:1 NtOpenFile:1 NtReadFile:1 NtSetInformationThread:1 NtShutdownSystem:1 NtWriteFile:1
        ObCreateObjectType:1 ObDereferenceSecurityDescriptor:1 ObLogSecurityDescriptor:1 ObMakeTemporaryObject:1
        ObQueryObjectAuditingByHandle:1 ObSetSecurityObjectByPointer:1 PoFxCompleteIdleCondition:1
        PoFxCompleteIdleState:1 PoFxSetComponentLatency:1 PoFxSetComponentResidency:1 PsGetCurrentThreadProcessId:1
        PsGetCurrentThreadTeb:1 PsGetProcessDebugPort:1 PsGetThreadHardErrorsAreDisabled:1 PsIsDiskCountersEnabled:1
        PsSetThreadHardErrorsAreDisabled:1 PsUpdateDiskCounters:1 RtlAddRange:1 RtlCompareMemoryUlong:1
        RtlCopyLuid:1 RtlCreateSystemVolumeInformationFolder:1 RtlEnumerateGenericTableLikeADirectory:1
        RtlFreeRangeList:1 RtlGetAce:1 RtlGetElementGenericTableAvl:1 RtlInitializeRangeList:1
        RtlIpv4AddressToStringExW:1 RtlIpv6AddressToStringExW:1 RtlRunOnceExecuteOnce:1 RtlSubAuthorityCountSid:1
        RtlTestBit:1 RtlUnicodeToUTF8N:1 RtlValidSid:1 SeAppendPrivileges:1 SeDeassignSecurity:1 SeFreePrivileges:1
        SeOpenObjectAuditAlarm:1 SeQuerySessionIdToken:1 SeTokenIsRestricted:1 TmCommitComplete:1
        TmEnableCallbacks:1 TmRollbackComplete:1 VfFailDeviceNode:1 VfIsVerificationEnabled:1 ZwCommitTransaction:1
        ZwCreateEnlistment:1 ZwCreateKeyTransacted:1 ZwCreateResourceManager:1 ZwCreateTransaction:1
        ZwCreateTransactionManager:1 ZwMakeTemporaryObject:1 ZwOpenKeyTransacted:1 ZwQueryInformationTransaction:1
        ZwRollbackTransaction:1 _strlwr:1 _wcslwr:1 isprint:1 strcat:1
        hal.dll
        HalGetBusDataByOffset:96 HalSetBusDataByOffset:87 KeStallExecutionProcessor:81 HalTranslateBusAddress:63
        KeQueryPerformanceCounter:21 HalGetInterruptVector:11 HalGetBusData:7 HalAssignSlotResources:3
        HalGetAdapter:3 KdComPortInUse:3 HalDisplayString:2 x86BiosAllocateBuffer:2 x86BiosCall:2
        x86BiosFreeBuffer:2 x86BiosReadMemory:2 x86BiosWriteMemory:2 HalMakeBeep:1
        wdfldr.sys
        WdfVersionBind:53 WdfVersionBindClass:53 WdfVersionUnbind:53 WdfVersionUnbindClass:53
        fltmgr.sys
        FltRegisterFilter:24 FltUnregisterFilter:24 FltStartFiltering:23 FltReleaseFileNameInformation:17
        FltReleaseContext:16 FltAllocateContext:15 FltGetFileNameInformation:14 FltParseFileNameInformation:11
        FltClose:9 FltGetInstanceContext:7 FltBuildDefaultSecurityDescriptor:6 FltCloseCommunicationPort:6
        FltCreateCommunicationPort:6 FltCreateFile:6 FltGetFileNameInformationUnsafe:6 FltSetInstanceContext:6
        FltSetStreamHandleContext:6 FltCloseClientPort:5 FltFreeSecurityDescriptor:5 FltGetDiskDeviceObject:5
        FltGetFileContext:5 FltGetRoutineAddress:5 FltGetStreamHandleContext:5 FltGetVolumeName:5
        FltQueryInformationFile:5 FltSetFileContext:5 FltAllocatePoolAlignedWithTag:4 FltDeleteContext:4
        FltFreePoolAlignedWithTag:4 FltGetDestinationFileNameInformation:4 FltObjectDereference:4 FltSendMessage:4
        FltSetCallbackDataDirty:4 FltSetInformationFile:4 FltAllocateCallbackData:3 FltCancelFileOpen:3
        FltFreeCallbackData:3 FltGetVolumeProperties:3 FltLockUserBuffer:3 FltPerformSynchronousIo:3 FltReadFile:3
        FltReferenceContext:3 FltAcquireResourceExclusive:2 FltAllocateGenericWorkItem:2
        FltCheckAndGrowNameControl:2 FltCompletePendedPreOperation:2 FltCreateFileEx:2 FltCreateFileEx2:2
        FltDoCompletionProcessingWhenSafe:2 FltEnlistInTransaction:2 FltEnumerateInstances:2
        FltFreeGenericWorkItem:2 FltFsControlFile:2 FltGetFileSystemType:2 FltGetStreamContext:2
        FltGetTransactionContext:2 FltGetVolumeContext:2 FltGetVolumeFromInstance:2 FltGetVolumeGuidName:2
        FltIsDirectory:2 FltQueueGenericWorkItem:2 FltReleaseResource:2 FltSetStreamContext:2
        FltSetTransactionContext:2 FltSetVolumeContext:2 FltWriteFile:2 FltAcquirePushLockExclusive:1
        FltAcquirePushLockShared:1 FltCancelIo:1 FltCbdqDisable:1 FltCbdqInitialize:1 FltCbdqInsertIo:1
        FltCbdqRemoveNextIo:1 FltClearCancelCompletion:1 FltCompletePendedPostOperation:1
        FltCreateSystemVolumeInformationFolder:1 FltDeletePushLock:1 FltDetachVolume:1 FltEnumerateFilters:1
        FltFlushBuffers:1 FltGetDeviceObject:1 FltGetEcpListFromCallbackData:1 FltGetIrpName:1
        FltGetNextExtraCreateParameter:1 FltGetRequestorProcessId:1 FltGetTunneledName:1
        FltGetVolumeFromFileObject:1 FltGetVolumeFromName:1 FltInitializePushLock:1 FltIsEcpFromUserMode:1
        FltIsIoCanceled:1 FltIsVolumeWritable:1 FltObjectReference:1 FltParseFileName:1 FltPerformAsynchronousIo:1
        FltReleasePushLock:1 FltRequestOperationStatusCallback:1 FltReuseCallbackData:1 FltSetCancelCompletion:1
        undocumented
        IoDeviceObjectType:24 RtlGetSaclSecurityDescriptor:23 SeCaptureSecurityDescriptor:23 ZwOpenProcess:15
        IoDriverObjectType:14 IoCreateNotificationEvent:13 _purecall:13 KeSetTargetProcessorDpc:11
        ZwTerminateProcess:10 KeInitializeSpinLock:8 RtlZeroMemory:7 ExNotifyCallback:6 IoConnectInterruptEx:6
        IoDisconnectInterruptEx:6 KeInitializeApc:6 KeLowerIrql:6 KeSetSystemAffinityThreadEx:6 KfRaiseIrql:6
        __chkstk:6 KeInsertQueueApc:5 RtlCopyMemory:5 ZwDuplicateObject:5 ZwOpenThread:5 ZwQueryDirectoryObject:5
        ZwQueryObject:5 ZwSetInformationThread:5 KeGetCurrentIrql:4 Mm64BitPhysicalAddress:4 MmCreateMdl:4
        MmHighestUserAddress:4 PoRegisterDeviceForIdleDetection:4 PsGetProcessImageFileName:4 ZwDeleteFile:4
        ZwOpenProcessToken:4 _local_unwind:4 mbstowcs:4 strchr:4 ExEnumHandleTable:3 ExSetTimerResolution:3
        KeRevertToUserAffinityThreadEx:3 PoRegisterSystemState:3 PoUnregisterSystemState:3 PsGetProcessPeb:3
        PsGetProcessSectionBaseAddress:3 RtlConvertSidToUnicodeString:3 RtlCopyString:3 RtlVolumeDeviceToDosName:3
        ZwQueryInformationThread:3 ZwQueryInformationToken:3 ZwSetEvent:3 _strupr:3 EtwWrite:2
        IoCreateFileSpecifyDeviceObjectHint:2 IoReportResourceUsage:2 KeQueryPriorityThread:2 KeReadStateTimer:2
        KeSetTargetProcessorDpcEx:2 MmAllocateMappingAddress:2 MmFreeMappingAddress:2 MmProtectMdlSystemAddress:2
        MmSecureVirtualMemory:2 MmUnsecureVirtualMemory:2 NtOpenProcess:2 NtQueryInformationProcess:2
        NtQuerySystemInformation:2 ObSetHandleAttributes:2 PoRegisterPowerSettingCallback:2 PsGetContextThread:2
        PsGetProcessExitTime:2 PsGetProcessWin32Process:2 PsGetProcessWow64Process:2 PsGetThreadWin32Thread:2
        PsSetContextThread:2 RtlFindLeastSignificantBit:2 RtlFindMostSignificantBit:2 RtlIsNtDdiVersionAvailable:2
        RtlLengthRequiredSid:2 RtlMoveMemory:2 SeCreateAccessState:2 WmiFireEvent:2 ZwSetInformationProcess:2
        _wcsupr:2 memcpy_s:2 strcpy_s:2 strncat:2 strrchr:2 tolower:2 toupper:2 wcsncat_s:2 wcstombs:2
        CmRegisterCallback:1 ExRaiseAccessViolation:1 ExWaitForRundownProtectionRelease:1 ExfUnblockPushLock:1
        HalAllocateHardwareCounters:1 HalFreeHardwareCounters:1 InbvEnableBootDriver:1
        IoGetBaseFileSystemDeviceObject:1 IoGetBootDiskInformation:1 IoInitializeWorkItem:1 IoSizeofWorkItem:1
        IoUninitializeWorkItem:1 IoValidateDeviceIoControlAccess:1 IoWMIQuerySingleInstance:1
        IoWMISetSingleInstance:1 KdChangeOption:1 KeAddSystemServiceTable:1 KeDeregisterProcessorChangeCallback:1
        KeFlushWriteBuffer:1 KeGetCurrentProcessorNumberEx:1 KeGetProcessorNumberFromIndex:1 KeInsertDeviceQueue:1
        KeQueryActiveGroupCount:1 KeQueryActiveProcessorCountEx:1 KeQueryMaximumProcessorCount:1
        KeQueryNodeActiveAffinity:1 KeRaiseIrqlToDpcLevel:1 KeRegisterProcessorChangeCallback:1
        KeSetBasePriorityThread:1 MmAllocateContiguousNodeMemory:1 MmCopyVirtualMemory:1 MmCreateSection:1
        MmMapLockedPagesWithReservedMapping:1 MmMapViewOfSection:1 MmSectionObjectType:1 MmSetBankedSection:1
        MmUnmapReservedMapping:1 MmUnmapViewOfSection:1 NtCreateFile:1 NtQueryInformationFile:1
        NtQueryInformationThread:1 NtSetInformationFile:1 NtSetSecurityObject:1 ObAssignSecurity:1
        ObFindHandleForObject:1 ObGetObjectType:1 PcwCloseInstance:1 PcwCreateInstance:1
        PoUnregisterPowerSettingCallback:1 PsAssignImpersonationToken:1 PsGetProcessJob:1 PsGetProcessSessionId:1
        PsJobType:1 PsLookupProcessThreadByCid:1 PsReferenceProcessFilePointer:1 PsWrapApcWow64Thread:1
        RtlAppendStringToString:1 RtlCharToInteger:1 RtlCompareUnicodeStrings:1 RtlCompressBuffer:1 RtlCopySid:1
        RtlFindSetBits:1 RtlFormatCurrentUserKeyPath:1 RtlGetCompressionWorkSpaceSize:1 RtlGetElementGenericTable:1
        RtlInt64ToUnicodeString:1 RtlLookupFunctionEntry:1 RtlNtStatusToDosErrorNoTeb:1 RtlRaiseException:1
        RtlTimeToSecondsSince1980:1 RtlUpcaseUnicodeToMultiByteN:1 RtlValidSecurityDescriptor:1 RtlVirtualUnwind:1
        RtlxUnicodeStringToAnsiSize:1 ZwConnectPort:1 ZwFlushBuffersFile:1 ZwFlushKey:1 ZwFlushVirtualMemory:1
        ZwOpenProcessTokenEx:1 ZwOpenThreadToken:1 ZwOpenThreadTokenEx:1 ZwQueryVirtualMemory:1
        ZwRequestWaitReplyPort:1 ZwSetInformationObject:1 ZwYieldExecution:1 _itoa:1 isspace:1 memchr:1 rand:1
        swprintf_s:1 vsprintf_s:1
        wmilib.sys
        WmiSystemControl:22 WmiCompleteRequest:21
        usbd.sys
        USBD_CreateConfigurationRequestEx:17 USBD_ParseConfigurationDescriptorEx:16 USBD_GetPdoRegistryParameter:1
        USBD_ValidateConfigurationDescriptor:1
        ndis.sys
        NdisFreeMemory:8 NdisAllocateMemoryWithTag:7 NdisInitializeWrapper:7 NdisMDeregisterInterrupt:7
        NdisMRegisterInterrupt:7 NdisMRegisterMiniport:7 NdisMSetAttributesEx:7 NdisTerminateWrapper:7
        NDIS_BUFFER_TO_SPAN_PAGES:6 NdisCloseConfiguration:6 NdisMAllocateSharedMemory:6
        NdisMDeregisterIoPortRange:6 NdisMFreeSharedMemory:6 NdisMQueryAdapterResources:6 NdisMRegisterIoPortRange:6
        NdisGetRoutineAddress:5 NdisMInitializeScatterGatherDma:5 NdisOpenConfiguration:5 NdisReadConfiguration:5
        NdisReadNetworkAddress:5 NdisReadPciSlotInformation:5 NdisAllocateBuffer:4 NdisAllocateBufferPool:4
        NdisAllocatePacket:4 NdisFreeBufferPool:4 NdisFreePacket:4 NdisFreePacketPool:4 NdisInitUnicodeString:4
        NdisMMapIoSpace:4 NdisMSleep:4 NdisMUnmapIoSpace:4 NdisAllocatePacketPool:3 NdisMCancelTimer:3
        NdisMInitializeTimer:3 NdisMSynchronizeWithInterrupt:3 NdisScheduleWorkItem:3 NdisCloseAdapter:2
        NdisGetSharedDataAlignment:2 NdisInitializeEvent:2 NdisMDeregisterAdapterShutdownHandler:2
        NdisMRegisterAdapterShutdownHandler:2 NdisMSetPeriodicTimer:2 NdisOpenAdapter:2 NdisRegisterProtocol:2
        NdisRequest:2 NdisResetEvent:2 NdisSend:2 NdisSetEvent:2 NdisTransferData:2 NdisUnchainBufferAtFront:2
        NdisWaitEvent:2 NdisWriteErrorLogEntry:2 NdisWritePciSlotInformation:2 NdisAllocateMdl:1
        NdisAllocateMemory:1 NdisAllocateNetBufferAndNetBufferList:1 NdisAllocateNetBufferListPool:1
        NdisAllocatePacketPoolEx:1 NdisAllocateTimerObject:1 NdisCancelSendNetBufferLists:1 NdisCancelTimer:1
        NdisCancelTimerObject:1 NdisCloseAdapterEx:1 NdisCopyFromNetBufferToNetBuffer:1 NdisDeregisterProtocol:1
        NdisDeregisterProtocolDriver:1 NdisFreeMdl:1 NdisFreeNetBufferList:1 NdisFreeNetBufferListPool:1
        NdisFreeTimerObject:1 NdisGeneratePartialCancelId:1 NdisGetFirstBufferFromPacket:1 NdisInitializeString:1
        NdisInitializeTimer:1 NdisMAllocateMapRegisters:1 NdisMFreeMapRegisters:1 NdisMGetDeviceProperty:1
        NdisMRegisterUnloadHandler:1 NdisMRemoveMiniport:1 NdisMSetTimer:1 NdisOidRequest:1 NdisOpenAdapterEx:1
        NdisOpenConfigurationEx:1 NdisQueryAdapterInstanceName:1 NdisRegisterProtocolDriver:1
        NdisReturnNetBufferLists:1 NdisReturnPackets:1 NdisSendNetBufferLists:1 NdisSetTimer:1 NdisSetTimerObject:1
        portcls.sys
        PcAddAdapterDevice:5 PcInitializeAdapterDriver:5 PcNewPort:5 PcRegisterAdapterPowerManagement:5
        PcRegisterPhysicalConnection:5 PcRegisterSubdevice:5 PcDispatchIrp:4 PcNewRegistryKey:4 PcNewServiceGroup:4
        PcNewInterruptSync:3 PcNewMiniport:3
        cng.sys
        BCryptCloseAlgorithmProvider:4 BCryptOpenAlgorithmProvider:4 BCryptDestroyKey:3 BCryptCreateHash:2
        BCryptDecrypt:2 BCryptDestroyHash:2 BCryptFinishHash:2 BCryptGetProperty:2 BCryptHashData:2
        BCryptGenerateSymmetricKey:1 BCryptImportKey:1 BCryptImportKeyPair:1 BCryptSetProperty:1
        BCryptVerifySignature:1
        scsiport.sys
        ScsiPortGetDeviceBase:4 ScsiPortInitialize:4 ScsiPortNotification:4 ScsiPortCompleteRequest:3
        ScsiPortConvertUlongToPhysicalAddress:3 ScsiPortGetBusData:3 ScsiPortLogError:3 ScsiPortStallExecution:3
        ScsiPortValidateRange:3 ScsiDebugPrint:2 ScsiPortFreeDeviceBase:2 ScsiPortGetPhysicalAddress:2
        ScsiPortGetSrb:2 ScsiPortGetUncachedExtension:2 ScsiPortSetBusDataByOffset:2 ScsiPortGetVirtualAddress:1
        ScsiPortMoveMemory:1 ScsiPortReadPortBufferUlong:1 ScsiPortReadPortBufferUshort:1 ScsiPortReadPortUchar:1
        ScsiPortReadPortUlong:1 ScsiPortReadPortUshort:1 ScsiPortReadRegisterUchar:1 ScsiPortReadRegisterUlong:1
        ScsiPortReadRegisterUshort:1 ScsiPortWritePortBufferUlong:1 ScsiPortWritePortBufferUshort:1
        ScsiPortWritePortUchar:1 ScsiPortWritePortUlong:1 ScsiPortWritePortUshort:1 ScsiPortWriteRegisterUchar:1
        ScsiPortWriteRegisterUlong:1 ScsiPortWriteRegisterUshort:1
        videoprt.sys
        VideoPortInitialize:4 VideoPortZeroMemory:4 VideoPortDebugPrint:3 VideoPortMapMemory:3
        VideoPortUnmapMemory:3 VideoPortAllocatePool:2 VideoPortVerifyAccessRanges:2 VideoPortWritePortUchar:2
        VideoPortCompareMemory:1 VideoPortDDCMonitorHelper:1 VideoPortEnumerateChildren:1 VideoPortFreePool:1
        VideoPortGetAccessRanges:1 VideoPortGetDeviceBase:1 VideoPortIsNoVesa:1 VideoPortMoveMemory:1
        VideoPortQueryServices:1 VideoPortReadPortUchar:1 VideoPortReadPortUlong:1 VideoPortReadPortUshort:1
        VideoPortReadRegisterUshort:1 VideoPortSetRegistryParameters:1 VideoPortWritePortUlong:1
        VideoPortWritePortUshort:1 VideoPortWriteRegisterUshort:1
        hidparse.sys
        HidP_GetCaps:3 HidP_MaxUsageListLength:2 HidP_GetCollectionDescription:1 HidP_GetScaledUsageValue:1
        HidP_GetSpecificValueCaps:1 HidP_GetUsageValue:1 HidP_GetUsages:1 HidP_GetUsagesEx:1 HidP_SetUsages:1
        HidP_TranslateUsageAndPagesToI8042ScanCodes:1 HidP_UsageAndPageListDifference:1 HidP_UsageListDifference:1
        ks.sys
        KsAddItemToObjectBag:3 KsAllocateDeviceHeader:3 KsCreateFilterFactory:3 KsDispatchIrp:3
        KsFilterFactoryUpdateCacheData:3 KsGenerateEvent:3 KsGetFilterFromIrp:3 KsGetPinFromIrp:3
        KsPinGetParentFilter:3 _KsEdit:3 KsAllocateObjectHeader:2 KsCreatePin:2 KsDefaultDispatchPnp:2
        KsDefaultDispatchPower:2 KsDefaultForwardIrp:2 KsDispatchFastIoDeviceControlFailure:2
        KsDispatchFastReadFailure:2 KsDispatchInvalidDeviceRequest:2 KsFreeObjectHeader:2 KsProbeStreamIrp:2
        KsSetDevicePnpAndBaseObject:2 KsSetMajorFunctionHandler:2 KsSynchronousIoControlDevice:2
        KsAcquireResetValue:1 KsAddIrpToCancelableQueue:1 KsAddObjectCreateItemToDeviceHeader:1 KsCancelIo:1
        KsCreateBusEnumObject:1 KsDefaultDeviceIoCompletion:1 KsDisableEvent:1 KsEnableEvent:1
        KsFilterAddTopologyConnections:1 KsFilterCreatePinFactory:1 KsFreeDeviceHeader:1 KsGetBusEnumIdentifier:1
        KsGetBusEnumPnpDeviceObject:1 KsGetParent:1 KsInstallBusEnumInterface:1 KsIsBusEnumChildDevice:1
        KsMergeAutomationTables:1 KsNullDriverUnload:1 KsPinPropertyHandler:1 KsPropertyHandler:1
        KsRemoveBusEnumInterface:1 KsRemoveIrpFromCancelableQueue:1 KsServiceBusEnumCreateRequest:1
        KsServiceBusEnumPnpRequest:1 KsTopologyPropertyHandler:1 KsValidateConnectRequest:1
        usbport.sys
        USBPORT_RegisterUSBPortDriver:3 USBPORT_GetHciMn:1
        battc.sys
        BatteryClassInitializeDevice:2 BatteryClassIoctl:2 BatteryClassStatusNotify:2 BatteryClassSystemControl:1
        BatteryClassUnload:1
        bdasup.sys
        BdaCheckChanges:2 BdaCommitChanges:2 BdaCreateFilterFactoryEx:2 BdaFilterFactoryUpdateCacheData:2
        BdaGetChangeState:2 BdaInitFilter:2 BdaStartChanges:2
        classpnp.sys
        ClassAcquireRemoveLockEx:2 ClassAsynchronousCompletion:2 ClassClaimDevice:2 ClassCompleteRequest:2
        ClassCreateDeviceObject:2 ClassDeleteSrbLookasideList:2 ClassDeviceControl:2 ClassFindModePage:2
        ClassInitialize:2 ClassInitializeSrbLookasideList:2 ClassIoComplete:2 ClassQueryTimeOutRegistryValue:2
        ClassReadDriveCapacity:2 ClassReleaseRemoveLock:2 ClassSendDeviceIoControlSynchronous:2
        ClassSendSrbSynchronous:2 ClassWmiCompleteRequest:2 ClassGetDeviceParameter:1 ClassInitializeEx:1
        ClassInitializeMediaChangeDetection:1 ClassInterpretSenseInfo:1 ClassModeSense:1
        ClassNotifyFailurePredicted:1 ClassReleaseQueue:1 ClassScanForSpecial:1 ClassSetDeviceParameter:1
        ClassSetFailurePredictionPoll:1 ClassSignalCompletion:1 ClassSpinDownPowerHandler:1
        ClassUpdateInformationInRegistry:1
        hidclass.sys
        HidRegisterMinidriver:2
        drmk.sys
        DrmAddContentHandlers:1 DrmCreateContentMixed:1 DrmDestroyContent:1 DrmForwardContentToDeviceObject:1
        DrmForwardContentToFileObject:1 DrmForwardContentToInterface:1 DrmGetContentRights:1
        dxgthk.sys
        EngAcquireSemaphore:1 EngAllocMem:1 EngCreateSemaphore:1 EngDeleteSemaphore:1 EngFreeMem:1
        EngReleaseSemaphore:1 EngSetLastError:1
        pciidex.sys
        PciIdeXGetBusData:1 PciIdeXInitialize:1
        storport.sys
        StorPortGetBusData:1 StorPortGetDeviceBase:1 StorPortGetPhysicalAddress:1 StorPortGetScatterGatherList:1
        StorPortGetUncachedExtension:1 StorPortInitialize:1 StorPortNotification:1 StorPortReadRegisterUlong:1
        StorPortSetDeviceQueueDepth:1 StorPortStallExecution:1 StorPortWriteRegisterUlong:1
        """;
}
