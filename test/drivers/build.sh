#!/bin/sh
# Builds the guest drivers into bin/, and those of samples/ into samples/sys/. The same compilers give the same bytes anywhere: no time, no path gets in.
#   build.sh           build, and record the compilers
#   build.sh --check   build aside and compare; passes, saying so, without the recorded compilers
set -eu
cd "$(dirname "$0")"

MINGW=x86_64-w64-mingw32
versions() {
    "$MINGW-gcc" --version 2>/dev/null | head -n 1 || true
    "$MINGW-ld" --version 2>/dev/null | head -n 1 || true
    clang --version 2>/dev/null | head -n 1 || true
    lld-link --version 2>/dev/null | head -n 1 || true
}

check=no
root=$(cd ../.. && pwd)
bin=$root/test/drivers/bin
sys=$root/samples/sys
if [ "${1:-}" = --check ]; then
    check=yes
    versions > /dev/null
    if [ "$(versions)" != "$(cat bin/compilers.txt)" ]; then
        echo "build.sh: the compilers of bin/compilers.txt are not here, so nothing was compared"
        exit 0
    fi
    aside=$(mktemp -d)
    bin=$aside/bin
    sys=$aside/sys
fi
work=$(mktemp -d)
trap 'rm -rf "$work"; if [ "$check" = yes ]; then rm -rf "$aside"; fi' EXIT
mkdir -p "$bin" "$sys"

sysroot=$("$MINGW-gcc" -print-file-name=libntoskrnl.a | sed 's,/lib/libntoskrnl.a$,,')
include="$sysroot/include"
lib="$sysroot/lib"
# The headers' own folder stands in the debug lines: as /mingw, wherever it is here.
headers=$(dirname "$(dirname "$(realpath "$include/ddk/wdm.h")")")
common="-std=gnu11 -ffreestanding -fno-ident -fno-omit-frame-pointer -Wall -Wextra -Werror -Wno-unused-parameter"

enter() { # folder of the sources, folder of the images
    cd "$1"
    out=$2
    maps="-ffile-prefix-map=$(pwd)=. -ffile-prefix-map=$headers=/mingw -fdebug-prefix-map=$headers=/mingw -ffile-prefix-map=$sysroot=/mingw"
}

mingw() { # name, further inputs of the link
    name=$1
    shift
    "$MINGW-gcc" $common -O2 -g -Wno-multichar -Wno-array-bounds -Wno-unknown-pragmas -Wno-infinite-recursion -isystem "$include/ddk" \
        $maps -gno-record-gcc-switches -c "$name.c" -o "$work/$name.o"
    "$MINGW-gcc" -nostdlib -Wl,--subsystem,native -Wl,--entry,DriverEntry -Wl,--image-base,0x140000000 \
        -Wl,--dynamicbase -Wl,--nxcompat -Wl,--no-insert-timestamp -Wl,--exclude-all-symbols \
        -Wl,--file-alignment,0x200 -Wl,--section-alignment,0x1000 \
        "$work/$name.o" "$@" -lntoskrnl -lhal -o "$out/$name.sys"
}

# GCC has no __try.
clanged() { # name, debug flags of the compiler, debug flags of the linker
    clang --target=x86_64-w64-windows-gnu $common -fms-extensions -O1 $2 -Wno-pragma-pack -Wno-multichar \
        -Wno-unknown-pragmas -isystem "$include/ddk" -isystem "$include" \
        $maps -fdebug-compilation-dir=. -fasynchronous-unwind-tables \
        -c "$1.c" -emit-llvm -o "$work/$1.bc"
    # In one step the compiler would write its command line, with this folder in it, into the CodeView records;
    # and the name of its output, where that is not a pipe.
    "$(clang -print-prog-name=llc)" -O1 -filetype=obj "$work/$1.bc" -o - > "$work/$1.o"
    here=$(pwd)
    target=$(cd "$out" && pwd)
    cp "$lib/libntoskrnl.a" "$work/ntoskrnl.lib"
    # Run where the objects are: the linker writes the names of its inputs into the pdb.
    (cd "$work" && lld-link /nologo /driver /subsystem:native /entry:DriverEntry /base:0x140000000 /dynamicbase \
        /nxcompat /nodefaultlib /Brepro $3 "$1.o" ntoskrnl.lib /out:"$1.sys")
    cp "$work/$1.sys" "$target/"
    if [ -f "$work/$1.pdb" ]; then cp "$work/$1.pdb" "$target/"; fi
    cd "$here"
}

imports() { # name of a driver that exports
    cp "$1.def" "$work/"
    # The names of the temporary files become names of symbols in the library.
    (cd "$work" && "$MINGW-dlltool" --temp-prefix "$1" -d "$1.def" -l "lib$1.a")
}

enter "$root/test/drivers" "$bin"
mingw filter
mingw pending
mingw misbehave
mingw dispatcher
mingw races
mingw stress
mingw measure
mingw selftest
mingw executive
mingw wdm
mingw wmi -lwmilib
mingw keeper
"$MINGW-windres" version.rc "$work/version.o"
mingw quiet "$work/version.o"
imports missing
mingw missing "$work/libmissing.a"
imports exportlib
mingw exportlib "$work/exportlib.def"
mingw exportuser1 "$work/libexportlib.a"
mingw exportuser2 "$work/libexportlib.a"
clanged echo -gdwarf-4 /debug:dwarf
clanged seh "-g -gcodeview" "/debug /pdbaltpath:seh.pdb /pdbsourcepath:/src"

enter "$root/samples" "$sys"
for name in perf monolithic parallel queue csqqueue associated builder reinit workers locks function passfilter serial atadisk \
    virtualbus genport mapmem diskperf pcifilter edu; do mingw "$name"; done
imports library
mingw library library.def
mingw userone "$work/liblibrary.a"
mingw usertwo "$work/liblibrary.a"
clanged methods -gdwarf-4 /debug:dwarf

versions > "$bin/compilers.txt"
chmod -x "$bin"/* "$sys"/*
if [ "$check" = yes ]; then
    diff -rq "$root/test/drivers/bin" "$bin"
    diff -rq "$root/samples/sys" "$sys"
    echo "build.sh: the images are what the sources give"
fi
