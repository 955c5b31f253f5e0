/* Names of indices that every PgSync keeps beside those of its documents: no document may fill them. */
#ifndef PGSYNC_BASE_RESERVED_H
#define PGSYNC_BASE_RESERVED_H

#define RESERVED_CHECKPOINTS "pgsync-checkpoints"
#define RESERVED_DEAD_LETTERS "-dead-letters" /* after the name of an index */
#define RESERVED_GENERATION "-g"              /* the same, and before a number */

#endif
