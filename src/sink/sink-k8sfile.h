/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The k8s-file: output as records in a file that somebody else opens, see logfile.h. */

#include "sink/sink.h"

typedef struct SinkK8sFile SinkK8sFile;

/* Answers beside 0 and positive errnos, and above those. */
#define SINK_K8SFILE_LIMIT 4096 /* the next line wants a new file */
#define SINK_K8SFILE_OTHER 4097 /* a write for the other stream has to be completed first */

int sink_k8sfile_new(SinkK8sFile **ret, const SinksSpec *spec, SinkState *state);
SinkK8sFile *sink_k8sfile_free(SinkK8sFile *f);
DEFINE_CLEANUP(SinkK8sFile, sink_k8sfile_free)

int sink_k8sfile_write(SinkK8sFile *f,
                       StreamId id,
                       const Window *w,
                       StreamTail tail,
                       const struct timespec *now);
bool sink_k8sfile_settle(SinkK8sFile *f);
int sink_k8sfile_set_file(SinkK8sFile *f, int fd);
bool sink_k8sfile_has_file(const SinkK8sFile *f);
int sink_k8sfile_sync(SinkK8sFile *f);
