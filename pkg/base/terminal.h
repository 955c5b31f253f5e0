/* What programs for people print. */
#ifndef PGSYNC_BASE_TERMINAL_H
#define PGSYNC_BASE_TERMINAL_H

#include <stdio.h>

/* From here on nothing that is printed to standard output or standard error makes a terminal act, wherever it comes
 * from, apart from the ends of lines and tabs: such a character is shown as "\\u001b". It is for the first line of
 * main. What a program itself wants a terminal to do goes to the descriptor, after fflush. */
void terminal_guard(void);
/* Prints a text as a part of a line: ends of lines and tabs are shown in the same way. */
void terminal_print(FILE *to, const char *text);

#endif
