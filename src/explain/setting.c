/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Settings in configuration files of others, read as their owners read them. Of TOML what containers.conf and crio.conf
 * use: tables, dotted keys, strings of all kinds, and arrays that go on over lines. Values stay text; the strings in them are taken
 * out one by one.
 *
 * A file that is not TOML has settings all the same, as far as it can be read: who is asked why something is not in
 * force has to get through it.
 */

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "explain/setting.h"

#define KEY_MAX 512
#define BLANKS " \t\r"

/* ---- TOML ----------------------------------------------------------------------------------------------- */

/* Past the string that begins at @at; a string of one line ends with its line. */
static const char *skip_string(const char *at) {
        char quote = *at;
        bool lines = at[1] == quote && at[2] == quote;

        for (at += lines ? 3 : 1; *at && (lines || *at != '\n'); at++) {
                if (*at == '\\' && quote == '"' && at[1])
                        at++;
                else if (*at == quote && (!lines || (at[1] == quote && at[2] == quote)))
                        return at + (lines ? 3 : 1);
        }
        return at;
}

/* Past a value, which is copied to @ret without comments, line ends being blanks. Return: its end. */
static const char *copy_value(const char *at, char *ret, size_t size, bool *ret_fits) {
        unsigned depth = 0;
        size_t n = 0;

        while (*at && (*at != '\n' || depth > 0)) {
                const char *end = at + 1;

                if (*at == '#') {
                        at += strcspn(at, "\n");
                        continue;
                }
                if (*at == '"' || *at == '\'')
                        end = skip_string(at);
                else if (*at == '[' || *at == '{')
                        depth++;
                else if ((*at == ']' || *at == '}') && depth > 0)
                        depth--;
                for (; at < end; at++, n++)
                        if (n + 1 < size) {
                                ret[n] = *at;
                                if (*at == '\n' && end == at + 1)
                                        ret[n] = ' ';
                        }
        }
        *ret_fits = n < size;
        ret[n < size ? n : size - 1] = 0;
        return at;
}

/* Adds "NAME", "'NAME'.NAME" and the like to a key. Return: the end of it, at something else. */
static const char *add_names(const char *at, char key[KEY_MAX]) {
        size_t n = strlen(key);

        for (at += strspn(at, BLANKS); *at && !strchr("=]#\n", *at);) {
                const char *end = *at == '"' || *at == '\'' ? skip_string(at) : at + 1;
                bool quoted = end > at + 1;

                for (const char *p = at + quoted; p < end - quoted; p++)
                        if (n + 1 < KEY_MAX && (quoted || !strchr(BLANKS, *p)))
                                key[n++] = *p;
                at = end;
        }
        key[n] = 0;
        return at;
}

/**
 * setting_find_toml() - a value, as text
 * @key: with the names of its tables; a pattern, see fnmatch(3)
 * @ret: without comments, in one line; untouched if there is none, or it does not fit
 *
 * Return: 0, or SETTING_NONE.
 */
int setting_find_toml(const char *text, const char *key, char *ret, size_t size) {
        _cleanup_free_ char *value = malloc(size);
        char table[KEY_MAX] = "", name[KEY_MAX];
        int r = SETTING_NONE;
        bool fits;

        if (!value)
                return fail(-ENOMEM);
        for (const char *at = text; *at; at += *at == '\n') {
                at += strspn(at, BLANKS);
                if (*at == '[') {
                        table[0] = 0;
                        at = add_names(at + 1, table);
                        if (*at == ']')
                                (void)strncat(table, ".", sizeof table - strlen(table) - 1);
                        at += strcspn(at, "\n");
                        continue;
                }
                (void)snprintf(name, sizeof name, "%s", table);
                at = add_names(at, name);
                if (*at != '=') {
                        at += strcspn(at, "\n");
                        continue;
                }
                at++;
                at = copy_value(at + strspn(at, BLANKS), value, size, &fits);
                if (fits && fnmatch(key, name, 0) == 0) {
                        (void)snprintf(ret, size, "%s", value);
                        r = 0;
                }
        }
        return r;
}

/* What is between the quotes. Return: false if it does not fit. */
static bool unquote(const char *text, size_t n, bool escapes, char *ret, size_t size) {
        size_t length = 0;

        for (size_t i = 0; i < n; i++) {
                if (escapes && text[i] == '\\' && i + 1 < n)
                        i++; /* of quotes and backslashes, which is what occurs in paths */
                if (length + 1 >= size)
                        return false;
                ret[length++] = text[i];
        }
        ret[length] = 0;
        return true;
}

/**
 * setting_next_string() - the next string in a value
 * @at: where it is searched; moved past it. One that does not fit into @ret is passed over
 *
 * Return: 0, or SETTING_NONE.
 */
int setting_next_string(const char **at, char *ret, size_t size) {
        char word[PATH_MAX];

        for (const char *p = *at + strcspn(*at, "\"'"); *p; p += strcspn(p, "\"'")) {
                const char *begin = p, *end = skip_string(p);
                size_t quotes = begin[1] == *begin && begin[2] == *begin ? 3 : 1;

                p = end;
                if ((size_t)(end - begin) < 2 * quotes ||
                    !unquote(begin + quotes, (size_t)(end - begin) - 2 * quotes, *begin == '"', word,
                             sizeof word) ||
                    strlen(word) >= size)
                        continue;
                (void)memcpy(ret, word, strlen(word) + 1);
                *at = end;
                return 0;
        }
        return SETTING_NONE;
}

/**
 * setting_appends() - does an array add to that of the files before, as containers.conf(5) has it?
 */
bool setting_appends(const char *value) {
        char word[32];

        for (const char *p = value; *p;) {
                size_t n = 0;

                if (*p == '"' || *p == '\'') {
                        p = skip_string(p);
                        continue;
                }
                if (*p++ != '{')
                        continue;
                for (; *p && *p != '}'; p++)
                        if (!strchr(BLANKS, *p) && n + 1 < sizeof word)
                                word[n++] = *p;
                word[n] = 0;
                if (strcmp(word, "append=true") == 0)
                        return true;
        }
        return false;
}

/* ---- systemd -------------------------------------------------------------------------------------------- */

/* A line without blanks around it, continued where a backslash says so. Return: where the next one begins. */
static const char *read_line(const char *at, char line[LINE_MAX]) {
        size_t n = 0;

        for (at += strspn(at, BLANKS); *at && *at != '\n'; at++) {
                bool continued = *at == '\\' && at[1] == '\n';

                if (n + 1 < LINE_MAX) {
                        line[n] = *at;
                        if (continued)
                                line[n] = ' ';
                        n++;
                }
                at += continued;
        }
        while (n > 0 && strchr(BLANKS, line[n - 1]))
                n--;
        line[n] = 0;
        return at + (*at == '\n');
}

/**
 * setting_find_ini() - a setting, the last one in its section
 * @ret: untouched if there is none
 *
 * Return: 0, or SETTING_NONE.
 */
int setting_find_ini(const char *text, const char *section, const char *key, char *ret, size_t size) {
        bool inside = false;
        int r = SETTING_NONE;
        char line[LINE_MAX];

        while (*text) {
                size_t n = strlen(key);

                text = read_line(text, line);
                if (line[0] == '[')
                        inside = strncmp(line + 1, section, strlen(section)) == 0 &&
                                 strcmp(line + 1 + strlen(section), "]") == 0;
                if (!inside || strncmp(line, key, n) != 0)
                        continue;
                n += strspn(line + n, BLANKS);
                if (line[n++] != '=')
                        continue;
                (void)snprintf(ret, size, "%s", line + n + strspn(line + n, BLANKS));
                r = 0;
        }
        return r;
}

/* ---- files ---------------------------------------------------------------------------------------------- */

static const char *name_in(const char *path) {
        return strrchr(path, '/') + 1;
}

static int compare(const void *a, const void *b) {
        return strcmp(name_in(*(char *const *)a), name_in(*(char *const *)b));
}

static bool has_name(char **files, size_t n, const char *name) {
        for (size_t i = 0; i < n; i++)
                if (strcmp(name_in(files[i]), name) == 0)
                        return true;
        return false;
}

/* Adds DIRECTORY/X.conf of names that are not there yet. */
static int add_directory(const char *directory, char ***files, size_t *n) {
        static const char suffix[] = ".conf";
        DIR *dir = opendir(directory);
        struct dirent *entry;
        int r = 0;

        while (r >= 0 && dir && (entry = readdir(dir))) {
                size_t length = strlen(entry->d_name);
                char **larger;

                if (entry->d_name[0] == '.' || length < sizeof suffix ||
                    strcmp(entry->d_name + length - strlen(suffix), suffix) != 0 ||
                    has_name(*files, *n, entry->d_name))
                        continue;
                larger = realloc(*files, (*n + 2) * sizeof *larger);
                if (larger)
                        *files = larger;
                if (!larger || asprintf(&larger[*n], "%s/%s", directory, entry->d_name) < 0)
                        r = fail(-ENOMEM);
                else
                        larger[++*n] = NULL;
        }
        if (dir)
                (void)closedir(dir);
        return r < 0 ? relay(r) : 0;
}

/**
 * setting_files() - drop-ins of these directories, in the order of their names
 * @directories: a file in an earlier one hides those of the same name in later ones; may be missing
 * @ret: NULL after the last; for setting_files_free()
 *
 * Return: 0 or -ENOMEM.
 */
int setting_files(const char *const *directories, size_t n, char ***ret) {
        char **files = calloc(1, sizeof *files);
        size_t n_files = 0;
        int r = files ? 0 : fail(-ENOMEM);

        for (size_t i = 0; r >= 0 && i < n; i++) {
                r = add_directory(directories[i], &files, &n_files);
                if (r < 0)
                        files[n_files] = NULL;
        }
        if (r < 0) {
                (void)setting_files_free(files);
                return relay(r);
        }
        qsort(files, n_files, sizeof *files, compare);
        *ret = files;
        return 0;
}

/**
 * setting_files_free() - forget them
 *
 * Return: NULL.
 */
char **setting_files_free(char **files) {
        for (size_t i = 0; files && files[i]; i++)
                free(files[i]);
        free(files);
        return NULL;
}
