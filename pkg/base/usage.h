/* The text of --help, in one layout for every program. Keeps no state. */
#ifndef PGSYNC_BASE_USAGE_H
#define PGSYNC_BASE_USAGE_H

#include <stdio.h>

/* One option, its text wrapped at 80 columns: "-f, --file FILE    text". letter 0: only the long form. argument NULL: a
 * switch; one that begins with "[" follows the name without a space, as in "--leader-elect[=BOOL]". */
void usage_option(FILE *to, char letter, const char *name, const char *argument, const char *text);
/* A paragraph, wrapped at 80 columns. */
void usage_paragraph(FILE *to, const char *text);
/* An empty line, "HEADING:", and the lines of text as they are, each indented by two spaces. */
void usage_section(FILE *to, const char *heading, const char *text);

#endif
