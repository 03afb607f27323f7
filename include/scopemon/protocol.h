/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What a container monitor and its callers say to one another: the names and numbers of scopemon-protocol(7).
 * C89, and nothing but macros, so that any program may include it. Values never change; new ones may be added.
 */

#ifndef SCOPEMON_PROTOCOL_H
#define SCOPEMON_PROTOCOL_H

/* The version of the stock monitor that ours stands in for: first line of --version. */
#define SCOPEMON_CONMON_VERSION "2.2.1"

/* Where the links to attach sockets are, unless --socket-dir-path says otherwise. */
#define SCOPEMON_SOCKET_DIR "/var/run/crio"

/* Environment. The first three hold the decimal number of an inherited descriptor. */
#define SCOPEMON_ENV_SYNCPIPE "_OCI_SYNCPIPE"
#define SCOPEMON_ENV_STARTPIPE "_OCI_STARTPIPE"
#define SCOPEMON_ENV_ATTACHPIPE "_OCI_ATTACHPIPE"
#define SCOPEMON_ENV_PLACEMENT "SCOPEMON_PLACEMENT"
#define SCOPEMON_ENV_JOURNAL_ONCE "SCOPEMON_JOURNAL_ONCE"
#define SCOPEMON_ENV_MACHINE "SCOPEMON_MACHINE"

/* Annotation of the container; stronger than SCOPEMON_PLACEMENT. The values of both. */
#define SCOPEMON_ANNOTATION_PLACEMENT "io.scopemon.placement"
#define SCOPEMON_PLACEMENT_AUTO "auto"
#define SCOPEMON_PLACEMENT_UNIT "unit"
#define SCOPEMON_PLACEMENT_SCOPE "scope"
#define SCOPEMON_PLACEMENT_CALLER "caller"

/* Likewise, and SCOPEMON_MACHINE: is the container registered with systemd-machined? A boolean. */
#define SCOPEMON_ANNOTATION_MACHINE "io.scopemon.machine"

/* Start pipe: one read of up to so many bytes, whatever it returns, is one signal. */
#define SCOPEMON_START_READ_MAX 8192

/* Sync and attach pipe: one JSON object and a newline per record, in one write. Keys of the number. */
#define SCOPEMON_SYNC_RECORD_MAX 4096
#define SCOPEMON_SYNC_KEY "data"            /* with --api-version */
#define SCOPEMON_SYNC_KEY_PID "pid"         /* without: create, restore */
#define SCOPEMON_SYNC_KEY_EXIT "exit_code"  /* without: exec */
#define SCOPEMON_SYNC_KEY_MESSAGE "message" /* text, only if there is one */
#define SCOPEMON_SYNC_FAILED (-1)
#define SCOPEMON_SYNC_TIMED_OUT "command timed out"

/* Attach socket: the first byte of each packet from the monitor, then 1 to so many bytes of output. */
#define SCOPEMON_ATTACH_SOCKET "attach" /* in the bundle */
#define SCOPEMON_ATTACH_STDOUT 2
#define SCOPEMON_ATTACH_STDERR 3
#define SCOPEMON_ATTACH_DATA_MAX 8192
#define SCOPEMON_ATTACH_INPUT_MAX 32768 /* longest packet to the monitor */

/* Control fifos in the bundle. ctl: "CODE ROWS COLUMNS\n", winsz: "ROWS COLUMNS\n". */
#define SCOPEMON_CTL_FIFO "ctl"
#define SCOPEMON_WINSZ_FIFO "winsz"
#define SCOPEMON_CTL_RESIZE 1
#define SCOPEMON_CTL_REOPEN 2
#define SCOPEMON_CTL_SIZE_MAX 1000 /* most rows, and columns */

/* Files. The exit file in --exit-dir is called as the container. */
#define SCOPEMON_FILE_EXIT "exit"                 /* in --persist-dir */
#define SCOPEMON_FILE_OOM "oom"                   /* in --persist-dir, and in the bundle */
#define SCOPEMON_FILE_NOTIFY "notify/notify.sock" /* in the bundle */
#define SCOPEMON_EXIT_UNKNOWN "-1"                /* nobody saw the end, or it was timed out */

/* Journal: fields of the container's entries. */
#define SCOPEMON_FIELD_MESSAGE "MESSAGE"
#define SCOPEMON_FIELD_ID_FULL "CONTAINER_ID_FULL"
#define SCOPEMON_FIELD_ID "CONTAINER_ID" /* the first 12 characters */
#define SCOPEMON_FIELD_NAME "CONTAINER_NAME"
#define SCOPEMON_FIELD_TAG "CONTAINER_TAG"
#define SCOPEMON_FIELD_PARTIAL "CONTAINER_PARTIAL_MESSAGE" /* "true" if the line goes on, else absent */
#define SCOPEMON_FIELD_PRIORITY "PRIORITY"
#define SCOPEMON_FIELD_TRUE_PRIORITY "CONTAINER_PRIORITY" /* where PRIORITY has to be 6 or 3 */
#define SCOPEMON_FIELD_IDENTIFIER "SYSLOG_IDENTIFIER"
#define SCOPEMON_FIELD_UNIT "OBJECT_SYSTEMD_UNIT"
#define SCOPEMON_FIELD_USER_UNIT "OBJECT_SYSTEMD_USER_UNIT"

/* Journal: fields of the monitor's own entries, and their MESSAGE_ID. */
/* not CONTAINER_ID_FULL: that is for the container's output */
#define SCOPEMON_FIELD_OWN_ID "SCOPEMON_CONTAINER_ID"
#define SCOPEMON_FIELD_OWN_NAME "SCOPEMON_CONTAINER_NAME"
#define SCOPEMON_FIELD_PLACEMENT "SCOPEMON_PLACEMENT"
#define SCOPEMON_FIELD_REASON "SCOPEMON_REASON"
#define SCOPEMON_FIELD_CALLER_UNIT "SCOPEMON_CALLER_UNIT"
#define SCOPEMON_FIELD_MONITOR_SCOPE "SCOPEMON_MONITOR_SCOPE"
#define SCOPEMON_FIELD_CONTAINER_CGROUP "SCOPEMON_CONTAINER_CGROUP"
#define SCOPEMON_FIELD_EXIT_STATUS "SCOPEMON_EXIT_STATUS"
#define SCOPEMON_FIELD_EXIT_SIGNAL "SCOPEMON_EXIT_SIGNAL"
#define SCOPEMON_FIELD_CORE_DUMPED "SCOPEMON_CORE_DUMPED"
#define SCOPEMON_FIELD_OOM "SCOPEMON_OOM"
#define SCOPEMON_FIELD_TIMED_OUT "SCOPEMON_TIMED_OUT"
#define SCOPEMON_FIELD_DURATION "SCOPEMON_DURATION_USEC"
#define SCOPEMON_FIELD_BYTES "SCOPEMON_BYTES"
#define SCOPEMON_FIELD_BYTES_LOST "SCOPEMON_BYTES_LOST"
#define SCOPEMON_FIELD_LINES_LOST "SCOPEMON_LINES_LOST"
#define SCOPEMON_FIELD_SUPPRESSED "SCOPEMON_ENTRIES_SUPPRESSED"
#define SCOPEMON_FIELD_ENTRIES "SCOPEMON_ENTRIES"
#define SCOPEMON_FIELD_TIMEOUT "SCOPEMON_TIMEOUT_USEC"
#define SCOPEMON_FIELD_PROBLEM "SCOPEMON_PROBLEM"
#define SCOPEMON_FIELD_REMEDY "SCOPEMON_REMEDY"
#define SCOPEMON_FIELD_VERSION "SCOPEMON_VERSION"
#define SCOPEMON_FIELD_VERSION_BEFORE "SCOPEMON_VERSION_BEFORE"
#define SCOPEMON_FIELD_PAUSE "SCOPEMON_PAUSE_USEC"
#define SCOPEMON_FIELD_PROGRAM "SCOPEMON_PROGRAM"
#define SCOPEMON_MESSAGE_PLACED "b5c36f7a6d2a4e329b40dfe192459d67"
#define SCOPEMON_MESSAGE_ENDED "ae7f4f850114466f8c4d890f6616381e"
#define SCOPEMON_MESSAGE_KILLED_BY_TIMEOUT "3daa99969dc146e295a5bd6e7d99b172"
#define SCOPEMON_MESSAGE_LOSS "b6f9b790a1ea4da28fec71028be6b20e"
#define SCOPEMON_MESSAGE_SUPPRESSED "6e3990008d3e42538effab0a71e05c85"
#define SCOPEMON_MESSAGE_WORKER_REPLACED "14254bb328ec48f38d6480a1ae40ef2d"
#define SCOPEMON_MESSAGE_KEEPER_REPLACED "ec066de5a780432892710c6d0840ba2f"
#define SCOPEMON_MESSAGE_UPGRADED "7d8afd58cedf4d5a912d773b2fa6b822"
#define SCOPEMON_MESSAGE_UPGRADE_REFUSED "19e6a9e1efe2459fa5c8e8fb959d747b"
#define SCOPEMON_MESSAGE_FAILURE "c2373378ebca4e858c37281d15d33ef6"
#define SCOPEMON_MESSAGE_NOT_RESTARTED "d430f0e15ce345f689481deaa1341b88"
#define SCOPEMON_MESSAGE_MISCONFIGURED "d4778fe9538641568ca7c9e539e1fdfe"

#endif
