/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The bundle's config.json. The caller has written it for the runtime; we read it to know where the container is meant
 * to live, and now and then change two things: the cgroup's path, and annotations that the runtime turns into
 * properties of the scope it makes. Everything else stays byte for byte what it was, since the file is never more to
 * us than text: a change puts other text in a value's place (wire/jsontext). A tree of it would be ten times its size,
 * in a heap that stays with the monitor for the container's life.
 *
 * A file that is no JSON, or nested as no bundle is, is "broken". So is one that has two members of a name that
 * matters here: runtimes differ about which of them counts. A broken file is not an error: it stays what it is.
 *
 * The file is never written in place, and a new one is never readable for more people than the old one was: the
 * environment in it may hold passwords.
 *
 * Property values are GVariant text, which has two readers. runc's knows escapes everywhere; crun's takes a single
 * string literally up to the first apostrophe and knows escapes in lists only. bundle_quote() and bundle_quote_list()
 * write what both understand.
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/fd.h"
#include "oci/bundle.h"
#include "wire/jsontext.h"

#define CONFIG_NAME "config.json"
#define CONFIG_NEW ".config.json.new"
#define CONFIG_MAX ((size_t)16 * 1024 * 1024)
#define ROOM ((size_t)2048) /* for what is added, so that not each addition moves the text */
#define PROPERTY_PREFIX "org.systemd.property."

/* Members of the config that are looked into. */
typedef enum Section {
        SECTION_ANNOTATIONS,
        SECTION_LINUX,
        SECTION_MOUNTS,
        SECTION_PROCESS,
        SECTION_ROOT,
        _SECTION_MAX,
} Section;

static const char *const section_names[_SECTION_MAX] = { "annotations", "linux", "mounts", "process",
                                                         "root" };

/* A string that somebody has asked for. */
typedef struct Decoded {
        struct Decoded *next;
        char text[];
} Decoded;

struct Bundle {
        int dir_fd;
        struct stat st;
        char *text; /* with a NUL at @n */
        size_t n, allocated;
        size_t end;                      /* of the config's object; its } is before that */
        JsonSpan sections[_SECTION_MAX]; /* their values; empty if there is none */
        Decoded *decoded;                /* what was handed out */
};

static bool is_there(JsonSpan span) {
        return span.end > 0;
}

static bool is_object(const Bundle *b, JsonSpan span) {
        return is_there(span) && b->text[span.begin] == '{';
}

static bool is_null(const Bundle *b, JsonSpan span) {
        return is_there(span) && b->text[span.begin] == 'n';
}

static const char *note_section(Bundle *b, JsonSpan name, JsonSpan value) {
        for (Section i = 0; i < _SECTION_MAX; i++)
                if (jsontext_same(b->text, name, section_names[i])) {
                        if (is_there(b->sections[i]))
                                return "two members of the same name";
                        b->sections[i] = value;
                }
        return NULL;
}

/* Returns what is wrong with the text, NULL if nothing is. */
static const char *look_through(Bundle *b) {
        JsonWalk w = { .text = b->text, .n = b->n };
        JsonSpan name, value;
        const char *why;

        if (!jsontext_enter(&w))
                return w.why;
        while (jsontext_member(&w, &name, &value)) {
                why = note_section(b, name, value);
                if (why)
                        return why;
        }
        b->end = w.at;
        if (w.why || !jsontext_end(&w))
                return w.why;
        for (Section i = SECTION_ANNOTATIONS; i <= SECTION_LINUX; i++)
                if (is_there(b->sections[i]) && !is_object(b, b->sections[i]) && !is_null(b, b->sections[i]))
                        return i == SECTION_LINUX ? "linux is not an object" : "annotations is not an object";
        return NULL;
}

/* @text is taken over. */
static int bundle_new(Bundle **ret, char *text, size_t n, const char **ret_why) {
        _cleanup_(bundle_freep) Bundle *b = NULL;
        const char *why;

        b = calloc(1, sizeof *b);
        if (!b) {
                free(text);
                return fail(-ENOMEM);
        }
        b->dir_fd = -1;
        b->text = text;
        b->n = n;
        b->allocated = n + 1;
        why = look_through(b);
        if (why) {
                *ret_why = why;
                return BUNDLE_BROKEN;
        }
        *ret = TAKE_PTR(b);
        return 0;
}

/**
 * bundle_parse() - a config.json that is in memory already
 * @text: copied
 * @ret_why: static text, set with BUNDLE_BROKEN
 *
 * What comes of it can be changed and formatted, but not saved.
 *
 * Return: 0, BUNDLE_BROKEN, or -ENOMEM.
 */
int bundle_parse(Bundle **ret, const char *text, size_t n, const char **ret_why) {
        char *copy;
        int r;

        if (n > CONFIG_MAX) {
                *ret_why = "too large";
                return BUNDLE_BROKEN;
        }
        copy = malloc(n + 1);
        if (!copy)
                return fail(-ENOMEM);
        *(char *)mempcpy(copy, text, n) = 0;
        r = bundle_new(ret, copy, n, ret_why);
        return r < 0 ? relay(r) : r;
}

/**
 * bundle_open() - read the config.json of a bundle
 * @dir: the bundle; kept open for bundle_save()
 * @ret_why: static text, set with BUNDLE_BROKEN
 *
 * Return: 0, BUNDLE_MISSING, BUNDLE_BROKEN, or a negative errno.
 */
int bundle_open(Bundle **ret, const char *dir, const char **ret_why) {
        _cleanup_(bundle_freep) Bundle *b = NULL;
        _cleanup_close_ int dir_fd = -1, fd = -1;
        _cleanup_free_ char *text = NULL;
        struct stat st;
        size_t n;
        int r;

        dir_fd = fd_open_directory(dir);
        if (dir_fd < 0)
                return relay(dir_fd);
        fd = fd_open_regular(dir_fd, CONFIG_NAME, 0, &st);
        if (fd == -ENOENT)
                return BUNDLE_MISSING;
        if (fd < 0 && fd != -EINVAL && fd != -ENXIO)
                return relay(fd);
        if (fd < 0 || st.st_size > (off_t)CONFIG_MAX) {
                *ret_why = fd < 0 ? "not a regular file" : "too large";
                return BUNDLE_BROKEN;
        }

        r = fd_read_all(fd, CONFIG_MAX, &text, &n);
        if (r < 0)
                return relay(r);
        r = bundle_new(&b, TAKE_PTR(text), n, ret_why);
        if (r != 0)
                return r < 0 ? relay(r) : r;
        assert(b);
        b->dir_fd = TAKE_FD(dir_fd);
        b->st = st;
        *ret = TAKE_PTR(b);
        return 0;
}

/**
 * bundle_free() - forget the bundle, and changes that were not saved
 *
 * Return: NULL.
 */
Bundle *bundle_free(Bundle *b) {
        if (!b)
                return NULL;
        for (Decoded *d = b->decoded, *next; d; d = next) {
                next = d->next;
                free(d);
        }
        free(b->text);
        cleanup_close(&b->dir_fd);
        free(b);
        return NULL;
}

/* Member @key of a section; of two of that name the last one counts, as in runtimes. */
static JsonSpan find_member(const Bundle *b, Section section, const char *key) {
        JsonWalk w = { .text = b->text, .n = b->sections[section].end, .at = b->sections[section].begin };
        JsonSpan name, value, found = { 0 };

        if (!is_object(b, b->sections[section]) || !jsontext_enter(&w))
                return found;
        while (jsontext_member(&w, &name, &value))
                if (jsontext_same(b->text, name, key))
                        found = value;
        return found;
}

/* NULL: there is none, or it is no string that C could hold. The list of those handed out is no part of the config. */
static const char *get_string(const Bundle *b, Section section, const char *key) {
        JsonSpan value = find_member(b, section, key);
        Decoded *d;

        if (!is_there(value) || b->text[value.begin] != '"')
                return NULL;
        d = malloc(sizeof *d + (value.end - value.begin));
        if (!d || !jsontext_decode(b->text, value, d->text, value.end - value.begin)) {
                free(d);
                return NULL;
        }
        d->next = b->decoded;
        ((Bundle *)b)->decoded = d;
        return d->text;
}

/**
 * bundle_cgroups_path() - linux.cgroupsPath
 *
 * Return: text that lives as long as the bundle, or NULL if there is none.
 */
const char *bundle_cgroups_path(const Bundle *b) {
        return get_string(b, SECTION_LINUX, "cgroupsPath");
}

/**
 * bundle_annotation() - the value of one annotation
 *
 * Return: text that lives as long as the bundle, or NULL if there is none.
 */
const char *bundle_annotation(const Bundle *b, const char *key) {
        return get_string(b, SECTION_ANNOTATIONS, key);
}

static int make_room(Bundle *b, size_t n) {
        char *text;

        if (b->allocated > n)
                return 0;
        text = realloc(b->text, n + ROOM);
        if (!text)
                return fail(-ENOMEM);
        b->text = text;
        b->allocated = n + ROOM;
        return 0;
}

/* @new comes in the place of @old; every position behind moves. */
static int bundle_put_text(Bundle *b, JsonSpan old, const char *new) {
        size_t n = strlen(new), n_old = old.end - old.begin;
        int r;

        r = make_room(b, b->n - n_old + n);
        if (r < 0)
                return relay(r);
        memmove(b->text + old.begin + n, b->text + old.end, b->n - old.end + 1); /* with the NUL */
        memcpy(b->text + old.begin, new, n);
        b->n = b->n - n_old + n;
        b->end = b->end - n_old + n;
        for (Section i = 0; i < _SECTION_MAX; i++) {
                JsonSpan *span = &b->sections[i];
                bool around = span->begin <= old.begin && span->end > old.begin;

                if (!around && span->begin < old.end)
                        continue; /* before it */
                span->begin += around ? 0 : n - n_old;
                span->end += n - n_old; /* of no sign, and right for less as well */
        }
        return 0;
}

/* Behind the last element of an object or array that ends at @end; @ret: where the new one ends. */
static int bundle_append(Bundle *b, size_t end, const char *element, size_t *ret) {
        _cleanup_free_ char *text = NULL;
        size_t at = end - 1;
        int r;

        while (strchr(" \n\t\r", b->text[at - 1]))
                at--;
        if (asprintf(&text, "%s%s", strchr("{[", b->text[at - 1]) ? "" : ",", element) < 0)
                return fail(-ENOMEM);
        r = bundle_put_text(b, (JsonSpan){ at, at }, text);
        if (r < 0)
                return relay(r);
        *ret = at + strlen(text);
        return 0;
}

static int append_member(Bundle *b, size_t end, const char *name, const char *value, JsonSpan *ret) {
        _cleanup_free_ char *member = NULL;
        int r;

        if (asprintf(&member, "\"%s\":%s", name, value) < 0)
                return fail(-ENOMEM);
        r = bundle_append(b, end, member, &ret->end);
        if (r < 0)
                return relay(r);
        ret->begin = ret->end - strlen(value);
        return 0;
}

/* A section that is not there, or null, becomes @value. */
static int make_section(Bundle *b, Section section, const char *value) {
        JsonSpan *span = &b->sections[section], made;
        int r;

        if (is_null(b, *span))
                return bundle_put_text(b, *span, value);
        if (is_there(*span))
                return 0;
        r = append_member(b, b->end, section_names[section], value, &made);
        if (r < 0)
                return relay(r);
        *span = made;
        return 0;
}

static int set_member(Bundle *b, Section section, const char *key, const char *value) {
        JsonSpan old, new;
        int r;

        r = make_section(b, section, "{}");
        if (r < 0)
                return relay(r);
        old = find_member(b, section, key);
        r = is_there(old) ? bundle_put_text(b, old, value)
                          : append_member(b, b->sections[section].end, key, value, &new);
        return r < 0 ? relay(r) : 0;
}

/* NULL when memory ran out. */
static char *json_quote(const char *word) {
        size_t size = 6 * strlen(word) + 3;
        char *text = malloc(size);

        if (text)
                (void)jsontext_encode(word, text, size);
        return text;
}

static int set_string(Bundle *b, Section section, const char *key, const char *value) {
        _cleanup_free_ char *text = json_quote(value);
        int r;

        if (!text)
                return fail(-ENOMEM);
        r = set_member(b, section, key, text);
        return r < 0 ? relay(r) : 0;
}

/**
 * bundle_set_cgroups_path() - change linux.cgroupsPath
 * @path: valid UTF-8; copied
 *
 * Return: 0 or -ENOMEM.
 */
int bundle_set_cgroups_path(Bundle *b, const char *path) {
        int r;

        r = set_string(b, SECTION_LINUX, "cgroupsPath", path);
        return r < 0 ? relay(r) : 0;
}

/**
 * bundle_annotate() - add an annotation
 * @value: valid UTF-8; copied
 * @replace: what to do if there is one of that name
 *
 * Return: 0, BUNDLE_KEPT, or -ENOMEM.
 */
int bundle_annotate(Bundle *b, const char *key, const char *value, bool replace) {
        JsonSpan present = find_member(b, SECTION_ANNOTATIONS, key);
        int r;

        if (!replace && is_there(present) && !is_null(b, present))
                return BUNDLE_KEPT;
        r = set_string(b, SECTION_ANNOTATIONS, key, value);
        return r < 0 ? relay(r) : 0;
}

/**
 * bundle_annotate_property() - add a property to the scope that the runtime will make
 * @property: systemd's name of it, for example BindsTo
 * @value: GVariant text: "true", "uint64 5", or from bundle_quote() and bundle_quote_list()
 *
 * One that the user or the caller has put there stays.
 *
 * Return: 0, BUNDLE_KEPT, -ENAMETOOLONG, or -ENOMEM.
 */
int bundle_annotate_property(Bundle *b, const char *property, const char *value) {
        char key[sizeof PROPERTY_PREFIX + 128];
        int n, r;

        n = snprintf(key, sizeof key, PROPERTY_PREFIX "%s", property);
        if (n < 0 || (size_t)n >= sizeof key)
                return fail(-ENAMETOOLONG);
        r = bundle_annotate(b, key, value, false);
        return r < 0 ? relay(r) : r;
}

/**
 * bundle_text() - the whole as JSON
 *
 * Return: text that lives until the next change.
 */
const char *bundle_text(const Bundle *b, size_t *ret_n) {
        *ret_n = b->n;
        return b->text;
}

/* @name takes over owner, group and mode of the file it is going to replace. */
static int copy_rights(int dir_fd, const char *name, const struct stat *old) {
        struct stat st;

        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return fail(-errno);
        if ((st.st_uid != old->st_uid || st.st_gid != old->st_gid) &&
            fchownat(dir_fd, name, old->st_uid, old->st_gid, AT_SYMLINK_NOFOLLOW) < 0)
                return fail(-errno);
        if (fchmodat(dir_fd, name, old->st_mode & 07777, 0) < 0)
                return fail(-errno);
        return 0;
}

/**
 * bundle_save() - replace config.json, its owner and mode kept
 *
 * Only for what bundle_open() has opened. Whoever opens the file meanwhile gets the old or the new one, whole.
 *
 * Return: 0, or a negative errno with the old file still in place.
 */
int bundle_save(const Bundle *b) {
        int r;

        r = fd_write_file_atomic(b->dir_fd, CONFIG_NEW, b->text, b->n, 0600);
        if (r < 0)
                return relay(r);

        r = copy_rights(b->dir_fd, CONFIG_NEW, &b->st);
        if (r >= 0 && renameat(b->dir_fd, CONFIG_NEW, b->dir_fd, CONFIG_NAME) < 0)
                r = fail(-errno);
        if (r < 0) {
                (void)unlinkat(b->dir_fd, CONFIG_NEW, 0); /* the first error is the one to tell */
                return relay(r);
        }
        return 0;
}

/**
 * bundle_wants_terminal() - process.terminal
 */
bool bundle_wants_terminal(const Bundle *b) {
        JsonSpan terminal = find_member(b, SECTION_PROCESS, "terminal");

        return is_there(terminal) && b->text[terminal.begin] == 't';
}

/**
 * bundle_add_mount() - show a directory of the host to the container
 * @from: absolute path
 *
 * Return: 0 or a negative errno.
 */
int bundle_add_mount(Bundle *b, const char *from, const char *to) {
        _cleanup_free_ char *source = json_quote(from), *destination = json_quote(to), *mount = NULL;
        size_t end;
        int r;

        r = make_section(b, SECTION_MOUNTS, "[]");
        if (r < 0)
                return relay(r);
        if (b->text[b->sections[SECTION_MOUNTS].begin] != '[')
                return fail(-EINVAL);
        if (!source || !destination ||
            asprintf(&mount,
                     "{\"destination\":%s,\"source\":%s,\"type\":\"bind\","
                     "\"options\":[\"bind\",\"rprivate\",\"nosuid\",\"nodev\",\"noexec\"]}",
                     destination, source) < 0)
                return fail(-ENOMEM);
        r = bundle_append(b, b->sections[SECTION_MOUNTS].end, mount, &end);
        return r < 0 ? relay(r) : 0;
}

/**
 * bundle_set_variable() - add a variable to the environment of the container's first process
 *
 * Of two of the same name the last one counts, which is ours.
 *
 * Return: 0 or a negative errno.
 */
int bundle_set_variable(Bundle *b, const char *name, const char *value) {
        _cleanup_free_ char *word = NULL, *text = NULL;
        JsonSpan env;
        size_t end;
        int r;

        if (!is_object(b, b->sections[SECTION_PROCESS]))
                return fail(-EINVAL);
        env = find_member(b, SECTION_PROCESS, "env");
        if (!is_there(env) || is_null(b, env)) {
                r = set_member(b, SECTION_PROCESS, "env", "[]");
                if (r < 0)
                        return relay(r);
                env = find_member(b, SECTION_PROCESS, "env");
        }
        if (b->text[env.begin] != '[')
                return fail(-EINVAL);
        if (asprintf(&word, "%s=%s", name, value) < 0)
                return fail(-ENOMEM);
        text = json_quote(word);
        if (!text)
                return fail(-ENOMEM);
        r = bundle_append(b, env.end, text, &end);
        return r < 0 ? relay(r) : 0;
}

/**
 * bundle_copy_to() - write the config into another directory, for a container with the same root file system
 * @from: absolute path of the bundle, where a relative root.path starts
 *
 * The administrator's own config.json is left as it is.
 *
 * Return: 0 or a negative errno.
 */
int bundle_copy_to(Bundle *b, const char *from, const char *dir) {
        const char *root = get_string(b, SECTION_ROOT, "path");
        char path[PATH_MAX];
        int r;

        if (!root || root[0] != '/') {
                r = snprintf(path, sizeof path, "%s/%s", from, root ? root : "rootfs");
                if (r < 0 || (size_t)r >= sizeof path)
                        return fail(-ENAMETOOLONG);
                r = set_string(b, SECTION_ROOT, "path", path);
                if (r < 0)
                        return relay(r);
        }
        r = snprintf(path, sizeof path, "%s/" CONFIG_NAME, dir);
        if (r < 0 || (size_t)r >= sizeof path)
                return fail(-ENAMETOOLONG);
        r = fd_write_file_atomic(AT_FDCWD, path, b->text, b->n, 0600);
        return r < 0 ? relay(r) : 0;
}
