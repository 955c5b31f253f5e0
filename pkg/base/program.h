/* Programs that are installed together. */
#ifndef PGSYNC_BASE_PROGRAM_H
#define PGSYNC_BASE_PROGRAM_H

/* The path of the program with this name in the directory of this executable, whether it exists or not; the caller
 * frees it. NULL: errno says why the directory is not known. */
char *program_beside(const char *name);

#endif
