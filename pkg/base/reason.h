/* Reasons of errors, findings, conditions and events: one CamelCase word each.
 *
 * One list for the whole program, so that code compares values and never text. Reasons are text only where they enter
 * or leave the program: reason_parse and reason_name. Each reason that a condition or an event may have is explained in
 * docs/conditions.md. */
#ifndef PGSYNC_BASE_REASON_H
#define PGSYNC_BASE_REASON_H

#include <stdbool.h>

/* Of errors, findings, conditions and events of a PgSync. */
#define REASONS_SHOWN(X)                                      \
	X(ACCEPTED, "Accepted")                               \
	X(ACCESS_DENIED, "AccessDenied")                      \
	X(ALIAS_MOVED, "AliasMoved")                          \
	X(AMBIGUOUS_FOREIGN_KEY, "AmbiguousForeignKey")       \
	X(AS_EXPECTED, "AsExpected")                          \
	X(AUTH_FAILED, "AuthFailed")                          \
	X(BOOTSTRAP_COMPLETED, "BootstrapCompleted")          \
	X(BOOTSTRAP_NEEDED, "BootstrapNeeded")                \
	X(BOOTSTRAPPING, "Bootstrapping")                     \
	X(CHECKPOINT_CONFLICT, "CheckpointConflict")          \
	X(CHECKPOINT_CORRUPT, "CheckpointCorrupt")            \
	X(CLEANUP_FAILED, "CleanupFailed")                    \
	X(COMPLETE, "Complete")                               \
	X(CONNECTED, "Connected")                             \
	X(CREATING_SLOT, "CreatingSlot")                      \
	X(CREDENTIALS_NOT_FOUND, "CredentialsNotFound")       \
	X(CREDENTIALS_ROTATED, "CredentialsRotated")          \
	X(CRD_OUTDATED, "CRDOutdated")                        \
	X(DNS, "DNS")                                         \
	X(DATABASE_NOT_FOUND, "DatabaseNotFound")             \
	X(DEAD_LETTER_REJECTED, "DeadLetterRejected")         \
	X(DEAD_LETTERS, "DeadLetters")                        \
	X(DELETING, "Deleting")                               \
	X(DOCUMENT_FAILED, "DocumentFailed")                  \
	X(DOCUMENT_REJECTED, "DocumentRejected")              \
	X(EGRESS_DENIED, "EgressDenied")                      \
	X(EVERY_DOCUMENT_REJECTED, "EveryDocumentRejected")   \
	X(FAILED, "Failed")                                   \
	X(FAILED_OVER, "FailedOver")                          \
	X(IN_PROGRESS, "InProgress")                          \
	X(INDEX_EXISTS, "IndexExists")                        \
	X(INDEX_GONE, "IndexGone")                            \
	X(INDEX_IN_USE, "IndexInUse")                         \
	X(INDEX_MISSING, "IndexMissing")                      \
	X(INDEX_REJECTED, "IndexRejected")                    \
	X(INTERRUPTED, "Interrupted")                         \
	X(INVALID_EXPRESSION, "InvalidExpression")            \
	X(INVALID_SCHEMA, "InvalidSchema")                    \
	X(INVALID_SPEC, "InvalidSpec")                        \
	X(KEY_TOO_LARGE, "KeyTooLarge")                       \
	X(LAG_EXCEEDS_TARGET, "LagExceedsTarget")             \
	X(LIMIT_EXCEEDED, "LimitExceeded")                    \
	X(LOST, "Lost")                                       \
	X(MESSAGE_TOO_LARGE, "MessageTooLarge")               \
	X(MISSING_INDEX, "MissingIndex")                      \
	X(NO_FOREIGN_KEY, "NoForeignKey")                     \
	X(NO_FREE_SENDER, "NoFreeSender")                     \
	X(NO_FREE_SLOT, "NoFreeSlot")                         \
	X(NO_PRIMARY_KEY, "NoPrimaryKey")                     \
	X(NOT_CHECKED, "NotChecked")                          \
	X(NOT_RUNNING, "NotRunning")                          \
	X(NOT_SUPPORTED, "NotSupported")                      \
	X(NOT_SUSPENDED, "NotSuspended")                      \
	X(OPERATOR_STOPPED, "OperatorStopped")                \
	X(OTHER_OPERATOR, "OtherOperator")                    \
	X(PENDING, "Pending")                                 \
	X(PIPELINE_MISSING, "PipelineMissing")                \
	X(PLANNED, "Planned")                                 \
	X(POSITION_NOT_SAVED, "PositionNotSaved")             \
	X(PRIVILEGE_MISSING, "PrivilegeMissing")              \
	X(PROGRESSING, "Progressing")                         \
	X(PUBLICATION_CONFLICT, "PublicationConflict")        \
	X(PUBLICATION_MISSING, "PublicationMissing")          \
	X(RECONCILE_DISABLED, "ReconcileDisabled")            \
	X(REFRESH_BLOCKS, "RefreshBlocks")                    \
	X(REFUSED, "Refused")                                 \
	X(REPLICA_IDENTITY, "ReplicaIdentity")                \
	X(RESERVED, "Reserved")                               \
	X(RESET, "Reset")                                     \
	X(RESYNC_STARTED, "ResyncStarted")                    \
	X(RETRYING, "Retrying")                               \
	X(ROW_SECURITY, "RowSecurity")                        \
	X(SERVER_IS_STANDBY, "ServerIsStandby")               \
	X(SINK_UNAVAILABLE, "SinkUnavailable")                \
	X(SINK_UNREACHABLE, "SinkUnreachable")                \
	X(SLOT_ACTIVE, "SlotActive")                          \
	X(SLOT_CONFLICT, "SlotConflict")                      \
	X(SLOT_GIVEN_UP, "SlotGivenUp")                       \
	X(SLOT_IN_USE, "SlotInUse")                           \
	X(SLOT_LOST, "SlotLost")                              \
	X(SLOT_ORPHANED, "SlotOrphaned")                      \
	X(SLOT_TAKEN, "SlotTaken")                            \
	X(SOURCE_UNREACHABLE, "SourceUnreachable")            \
	X(STARTED, "Started")                                 \
	X(STARTING, "Starting")                               \
	X(STOPPED, "Stopped")                                 \
	X(STOPPING, "Stopping")                               \
	X(STREAM_ENDED, "StreamEnded")                        \
	X(STREAMING, "Streaming")                             \
	X(SUSPENDED, "Suspended")                             \
	X(TLS, "TLS")                                         \
	X(TABLE_LOCKED, "TableLocked")                        \
	X(TABLE_NOT_LOGGED, "TableNotLogged")                 \
	X(TABLE_REWRITTEN, "TableRewritten")                  \
	X(TIMEOUT, "Timeout")                                 \
	X(UNKNOWN, "Unknown")                                 \
	X(TOO_MANY_PGSYNCS, "TooManyPgSyncs")                 \
	X(UNKNOWN_COLUMN, "UnknownColumn")                    \
	X(UNKNOWN_FIELD, "UnknownField")                      \
	X(UNKNOWN_TABLE, "UnknownTable")                      \
	X(UNREACHABLE, "Unreachable")                         \
	X(VERSION_UNSUPPORTED, "VersionUnsupported")          \
	X(VIEW_NOT_FOLLOWED, "ViewNotFollowed")               \
	X(VIEW_NOT_POPULATED, "ViewNotPopulated")             \
	X(WAITING_FOR_TRANSACTIONS, "WaitingForTransactions") \
	X(WAL_LEVEL_NOT_LOGICAL, "WalLevelNotLogical")        \
	X(WAL_STATUS_UNRESERVED, "WalStatusUnreserved")       \
	X(WORKER_CRASH_LOOPING, "WorkerCrashLooping")         \
	X(WORKER_EXITED, "WorkerExited")                      \
	X(WORKER_LOST, "WorkerLost")                          \
	X(WORKER_NOT_STARTED, "WorkerNotStarted")             \
	X(WORKER_REFUSED, "WorkerRefused")                    \
	X(WORKER_SILENT, "WorkerSilent")                      \
	X(WRITE_REFUSED, "WriteRefused")

/* Reasons of the Kubernetes API server, which also uses Timeout. */
#define REASONS_OF_KUBE(X)                                       \
	X(ALREADY_EXISTS, "AlreadyExists")                       \
	X(BAD_REQUEST, "BadRequest")                             \
	X(CONFLICT, "Conflict")                                  \
	X(EXPIRED, "Expired")                                    \
	X(FORBIDDEN, "Forbidden")                                \
	X(GONE, "Gone")                                          \
	X(INTERNAL_ERROR, "InternalError")                       \
	X(INVALID, "Invalid")                                    \
	X(METHOD_NOT_ALLOWED, "MethodNotAllowed")                \
	X(NOT_ACCEPTABLE, "NotAcceptable")                       \
	X(NOT_FOUND, "NotFound")                                 \
	X(REQUEST_ENTITY_TOO_LARGE, "RequestEntityTooLarge")     \
	X(RESOURCE_VERSION_TOO_LARGE, "ResourceVersionTooLarge") \
	X(SERVER_TIMEOUT, "ServerTimeout")                       \
	X(SERVICE_UNAVAILABLE, "ServiceUnavailable")             \
	X(STORAGE_READ_ERROR, "StorageReadError")                \
	X(TOO_MANY_REQUESTS, "TooManyRequests")                  \
	X(UNAUTHORIZED, "Unauthorized")                          \
	X(UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType")

/* Of findings that only commands print. */
#define REASONS_OF_COMMANDS(X)               \
	X(IGNORED, "Ignored")                \
	X(INVALID_SETTING, "InvalidSetting") \
	X(LOCALHOST, "Localhost")            \
	X(USAGE, "Usage")

#define REASONS(X) REASONS_SHOWN(X) REASONS_OF_KUBE(X) REASONS_OF_COMMANDS(X)

enum reason {
	REASON_NONE = 0,
#define X(name, word) REASON_##name,
	REASONS(X)
#undef X
		REASON_N,
};

/* The name. "Unspecified" for REASON_NONE, since a condition must have a reason. */
const char *reason_name(enum reason reason);
/* Whether the server could not be reached, or ended the connection. */
bool reason_is_unreachable(enum reason reason);

/* False if the name is not known, as from a newer program. "Unspecified" is REASON_NONE. */
bool reason_parse(const char *word, enum reason *ret);

#endif
