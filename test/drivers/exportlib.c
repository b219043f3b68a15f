// A driver from which others import. What it is told, it prints; it refuses if its service key has a value "Refuse".
#include "guest.h"

NTSTATUS NTAPI DllInitialize(PUNICODE_STRING path);
NTSTATUS NTAPI DllUnload(void);
ULONG NTAPI ExportedCount(void);

static ULONG s_calls;

static BOOLEAN Refuses(PUNICODE_STRING path)
{
    OBJECT_ATTRIBUTES attributes;
    UNICODE_STRING name;
    UCHAR buffer[64];
    ULONG length;
    HANDLE key;
    InitializeObjectAttributes(&attributes, path, OBJ_KERNEL_HANDLE | OBJ_CASE_INSENSITIVE, NULL, NULL);
    if (!NT_SUCCESS(ZwOpenKey(&key, KEY_READ, &attributes))) return FALSE;
    RtlInitUnicodeString(&name, L"Refuse");
    NTSTATUS status = ZwQueryValueKey(key, &name, KeyValuePartialInformation, buffer, sizeof(buffer), &length);
    ZwClose(key);
    return NT_SUCCESS(status);
}

NTSTATUS NTAPI DllInitialize(PUNICODE_STRING path)
{
    DbgPrint("DllInitialize %wZ\n", path);
    return Refuses(path) ? STATUS_DEVICE_BUSY : STATUS_SUCCESS;
}

NTSTATUS NTAPI DllUnload(void)
{
    DbgPrint("DllUnload after %u calls\n", s_calls);
    return STATUS_SUCCESS;
}

ULONG NTAPI ExportedCount(void)
{
    return ++s_calls;
}

static void NTAPI Unload(PDRIVER_OBJECT driver)
{
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
    DbgPrint("exportlib DriverEntry\n");
    driver->DriverUnload = Unload;
    return STATUS_SUCCESS;
}
