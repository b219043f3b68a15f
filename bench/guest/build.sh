#!/bin/sh
# Builds guest.bin with the mingw cross compiler.
cd "$(dirname "$0")"
cat > guest.ld <<'LD'
SECTIONS { . = 0; .all : { *(.start) *(.text*) *(.rdata*) *(.data*) *(.bss*) } /DISCARD/ : { *(*) } }
LD
x86_64-w64-mingw32-gcc -O2 -ffreestanding -fno-builtin -mgeneral-regs-only -fno-asynchronous-unwind-tables -mno-red-zone \
    -fno-optimize-sibling-calls -fno-tree-loop-distribute-patterns -c guest.c -o guest.o
x86_64-w64-mingw32-ld -T guest.ld guest.o -o guest.exe --image-base 0
x86_64-w64-mingw32-objcopy -O binary -j .all guest.exe guest.bin
rm -f guest.o guest.exe guest.ld
