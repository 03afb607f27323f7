/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The configuration as text, on its way through the channel: the named values of wire/state.c. Who reads it is of the
 * same version as who wrote it.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "wire/state.h"
#include "worker/worker-config.h"

#define PREFIX "worker"
#define LABEL "label"

static const StateField config_fields[] = {
        STATE_FIELD_BOOL(WorkerConfig, exec, "exec"),
        STATE_FIELD_BOOL(WorkerConfig, terminal, "terminal"),
        STATE_FIELD_BOOL(WorkerConfig, ends_stdin, "ends-stdin"),
        STATE_FIELD_BOOL(WorkerConfig, file, "file"),
        STATE_FIELD_BOOL(WorkerConfig, journald, "journald"),
        STATE_FIELD_BOOL(WorkerConfig, fsync, "fsync"),
        STATE_FIELD_BOOL(WorkerConfig, no_partial, "no-partial"),
        STATE_FIELD_BOOL(WorkerConfig, podman, "podman"),
        STATE_FIELD_NUMBER(WorkerConfig, size_max, "size-max", INT64_MAX),
        STATE_FIELD_NUMBER(WorkerConfig, total_max, "total-max", INT64_MAX),
};

static const StateFields config_values = { config_fields, ELEMENTS(config_fields) };

static const struct {
        const char *name;
        size_t offset;
} config_texts[] = {
        { "cid", offsetof(WorkerConfig, cid) },
        { "name", offsetof(WorkerConfig, name) },
        { "tag", offsetof(WorkerConfig, tag) },
        { "exit-dir", offsetof(WorkerConfig, exit_dir) },
        { "persist-dir", offsetof(WorkerConfig, persist_dir) },
};

static char **config_text(WorkerConfig *config, size_t i) {
        return (char **)(void *)((char *)config + config_texts[i].offset);
}

/**
 * worker_config_pack() - write it as text
 *
 * Return: bytes, 0 if there is not enough room.
 */
size_t worker_config_pack(const WorkerConfig *config, char *out, size_t size) {
        WorkerConfig copy = *config;
        StateWriter w;

        state_begin(&w, out, size);
        state_put_fields(&w, PREFIX, &config_values, config);
        for (size_t i = 0; i < ELEMENTS(config_texts); i++) {
                const char *text = *config_text(&copy, i);

                if (text)
                        state_put_text(&w, config_texts[i].name, text, strlen(text));
        }
        for (size_t i = 0; i < config->n_labels; i++)
                state_put_text(&w, LABEL, config->labels[i], strlen(config->labels[i]));
        return state_end(&w);
}

/* Texts, NUL after each, behind the array of labels. */
typedef struct Unpacking {
        WorkerConfig *config;
        char **labels;
        char *texts;
        size_t n_texts, size;
} Unpacking;

static int unpack_text(Unpacking *u, const StateValue *v, char **ret) {
        char *text = u->texts + u->n_texts;
        size_t n;
        int r;

        r = state_text(v, text, u->size - u->n_texts, &n);
        if (r < 0)
                return r;
        u->n_texts += n + 1;
        *ret = text;
        return 0;
}

static int unpack_value(Unpacking *u, const StateValue *v) {
        int r;

        r = state_take(v, PREFIX, &config_values, u->config);
        if (r != STATE_UNKNOWN)
                return r;
        if (state_is(v, LABEL))
                return unpack_text(u, v, &u->labels[u->config->n_labels++]);
        for (size_t i = 0; i < ELEMENTS(config_texts); i++)
                if (state_is(v, config_texts[i].name))
                        return unpack_text(u, v, config_text(u->config, i));
        return 0;
}

static size_t count_labels(StateReader reader) {
        StateValue v;
        size_t n = 0;

        while (state_next(&reader, &v))
                n += state_is(&v, LABEL);
        return n;
}

/**
 * worker_config_unpack() - read what worker_config_pack() has written
 * @ret_memory: what the texts of @ret lie in; the caller's to free
 *
 * Return: 0, or a negative errno: -EBADMSG for anything else.
 */
int worker_config_unpack(WorkerConfig *ret, const char *data, size_t n, char **ret_memory) {
        _cleanup_free_ char *memory = NULL;
        WorkerConfig config = { .n_labels = 0 };
        Unpacking u = { .config = &config, .size = n };
        StateReader reader;
        StateValue v;
        size_t n_array;
        int r;

        if (state_open(&reader, data, n) != 0)
                return fail(-EBADMSG);
        n_array = count_labels(reader) * sizeof *u.labels;
        memory = malloc(n_array + n); /* a NUL takes the place of a name, at least */
        if (!memory)
                return fail(-ENOMEM);
        u.labels = (char **)(void *)memory;
        u.texts = memory + n_array;
        while (state_next(&reader, &v)) {
                r = unpack_value(&u, &v);
                if (r < 0)
                        return fail(r);
        }
        if (!config.cid)
                return fail(-EBADMSG);
        config.labels = u.labels;
        *ret = config;
        *ret_memory = TAKE_PTR(memory);
        return 0;
}
