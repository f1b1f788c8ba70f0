/* SPDX-License-Identifier: Apache-2.0 */
/* Puts @{id}.tflite into the program's read-only data. The assembler looks for the file where -I points. */
#if defined(__APPLE__)
#define SYMBOL _@{variable}_data
    .const
#else
#define SYMBOL @{variable}_data
    .section .rodata
#endif
    .balign 64
    .globl SYMBOL
SYMBOL:
    .incbin "@{id}.tflite"

#if defined(__ELF__)
    .section .note.GNU-stack, "", %progbits
#endif
