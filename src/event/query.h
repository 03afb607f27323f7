/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A question that blocks, asked in a child, so that the loop goes on: see query.c. */

#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "event/event.h"

#define QUERY_ANSWER_MAX 65536 /* what a pipe takes at once */

typedef struct Query Query;

typedef struct QuerySpec {
        int (*ask)(void *userdata, void *answer); /* in the child; a negative result is no answer */
        size_t answer_size;                       /* QUERY_ANSWER_MAX at most */
        uint64_t usec;                            /* from now, for the whole of it */

        /*
         * Once, in the loop: the answer, or NULL and why there is none: -ETIMEDOUT, or -EPIPE if the child ended without
         * one. The query may be freed in here.
         */
        int (*on_answer)(void *userdata, const void *answer, int error);
        void *userdata;
} QuerySpec;

int query_new(Query **ret, Event *event, const QuerySpec *spec);
Query *query_free(Query *q);
DEFINE_CLEANUP(Query, query_free)
