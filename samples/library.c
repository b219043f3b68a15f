// A driver without devices, from which others import: a sum that they share.
#include "sample.h"

NTSTATUS NTAPI DllInitialize(PUNICODE_STRING path);
NTSTATUS NTAPI DllUnload(void);
LONG NTAPI LibraryAdd(LONG value);

static LONG s_total;

// Before the first importer's DriverEntry.
NTSTATUS NTAPI DllInitialize(PUNICODE_STRING path)
{
    s_total = 0;
    DbgPrint("library: somebody imports\n");
    return STATUS_SUCCESS;
}

// After the last importer's unload.
NTSTATUS NTAPI DllUnload(void)
{
    DbgPrint("library: nobody imports\n");
    return STATUS_SUCCESS;
}

// Adds to the sum, and returns it.
LONG NTAPI LibraryAdd(LONG value)
{
    return InterlockedExchangeAdd(&s_total, value) + value;
}

static void NTAPI Unload(PDRIVER_OBJECT driver)
{
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
    driver->DriverUnload = Unload;
    return STATUS_SUCCESS;
}
