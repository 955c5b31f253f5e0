/* Files of the tree that become a part of the program. */
#ifndef PGSYNC_BASE_EMBED_H
#define PGSYNC_BASE_EMBED_H

/* The linker puts the file between name and name_end, with a NUL behind it. Only the file that has this line sees the
 * two. Paths are those of the tree; the Makefile has to know that the object depends on the file. */
#define EMBED_FILE(name, path)                                                                                     \
	__asm__(".pushsection .rodata\n" #name ":\n.incbin \"" path "\"\n" #name "_end:\n.byte 0\n.popsection\n"); \
	extern const char name[], name##_end[]

#endif
