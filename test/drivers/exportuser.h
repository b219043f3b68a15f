// A driver that imports from exportlib.sys, and does no more than to call it.
#include "guest.h"

__declspec(dllimport) ULONG NTAPI ExportedCount(void);

static void NTAPI Unload(PDRIVER_OBJECT driver)
{
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
    DbgPrint("call %u\n", ExportedCount());
    driver->DriverUnload = Unload;
    return STATUS_SUCCESS;
}
