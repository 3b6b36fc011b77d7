/* Lets the n-th call that changes a file under a folder fail, and the n-th large allocation. Loaded by LD_PRELOAD. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static char folder[4096];
static long at = -1;        /* which call fails, from 0; none below 0 */
static long count = 0;      /* calls so far */
static int error = 0;       /* with this number; 0: only a part is written, and the next call fails as a full disk does */
static int for_ever = 0;    /* whether all later calls fail, too, as on a disk that is full */
static long hits = 0;       /* failures so far */
static size_t large = 0;    /* bytes from which an allocation counts; none where 0 */
static long large_at = -1, large_count = 0;

void faults_set(const char *where, long n, int number, int always)
{
    strncpy(folder, where, sizeof folder - 1);
    at = n, count = 0, error = number, for_ever = always, hits = 0;
}

void faults_memory(size_t size, long n)
{
    large = size, large_at = n, large_count = 0, hits = 0;
}

long faults_hits(void) { return hits; }
long faults_count(void) { return large ? large_count : count; }

static int inside(const char *path) { return folder[0] && path && strncmp(path, folder, strlen(folder)) == 0; }

static int is_inside(int fd)
{
    char link[64], path[4096];
    ssize_t size;
    if (!folder[0] || at < 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    size = readlink(link, path, sizeof path - 1);
    if (size < 0) return 0;
    path[size] = 0;
    return inside(path);
}

/* Whether this call fails: 0 no, 1 yes, 2 it does a part only. */
static int now(void)
{
    long n = count++;
    if (at < 0 || n < at) return 0;
    if (n == at) { hits++; return error ? 1 : 2; }
    if (for_ever || (!error && n == at + 1)) { hits++; return 1; }
    return 0;
}

static int number(void) { return error ? error : ENOSPC; }

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

ssize_t write(int fd, const void *data, size_t size)
{
    REAL(ssize_t, write, int, const void *, size_t);
    if (is_inside(fd)) {
        int what = now();
        if (what == 1) { errno = number(); return -1; }
        if (what == 2 && size > 1) return real(fd, data, size / 2);
    }
    return real(fd, data, size);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    REAL(ssize_t, pwrite, int, const void *, size_t, off_t);
    if (is_inside(fd)) {
        int what = now();
        if (what == 1) { errno = number(); return -1; }
        if (what == 2 && size > 1) return real(fd, data, size / 2, offset);
    }
    return real(fd, data, size, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off_t offset) { return pwrite(fd, data, size, offset); }

ssize_t writev(int fd, const struct iovec *parts, int n)
{
    REAL(ssize_t, writev, int, const struct iovec *, int);
    if (is_inside(fd) && now()) { errno = number(); return -1; }
    return real(fd, parts, n);
}

int fsync(int fd)
{
    REAL(int, fsync, int);
    if (is_inside(fd) && now() == 1) { errno = number(); return -1; }
    return real(fd);
}

int ftruncate(int fd, off_t size)
{
    REAL(int, ftruncate, int, off_t);
    if (is_inside(fd) && now() == 1) { errno = number(); return -1; }
    return real(fd, size);
}

int ftruncate64(int fd, off_t size) { return ftruncate(fd, size); }

int posix_fallocate(int fd, off_t start, off_t size)
{
    REAL(int, posix_fallocate, int, off_t, off_t);
    if (is_inside(fd) && now() == 1) return number();
    return real(fd, start, size);
}

int posix_fallocate64(int fd, off_t start, off_t size) { return posix_fallocate(fd, start, size); }

int rename(const char *old, const char *new)
{
    REAL(int, rename, const char *, const char *);
    if (inside(new) && now() == 1) { errno = number(); return -1; }
    return real(old, new);
}

int link(const char *old, const char *new)
{
    REAL(int, link, const char *, const char *);
    if (inside(new) && now() == 1) { errno = number(); return -1; }
    return real(old, new);
}

static int opening(const char *path, int flags)
{
    if ((flags & O_ACCMODE) == O_RDONLY || !inside(path) || now() != 1) return 0;
    errno = number();
    return 1;
}

int open(const char *path, int flags, ...)
{
    va_list rest;
    mode_t mode;
    REAL(int, open, const char *, int, ...);
    va_start(rest, flags);
    mode = va_arg(rest, mode_t);
    va_end(rest);
    return opening(path, flags) ? -1 : real(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list rest;
    mode_t mode;
    REAL(int, open64, const char *, int, ...);
    va_start(rest, flags);
    mode = va_arg(rest, mode_t);
    va_end(rest);
    return opening(path, flags) ? -1 : real(path, flags, mode);
}

static int refused(size_t size)
{
    if (!large || size < large || large_count++ != large_at) return 0;
    hits++;
    errno = ENOMEM;
    return 1;
}

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);

void *malloc(size_t size) { return refused(size) ? NULL : __libc_malloc(size); }
void *calloc(size_t n, size_t size) { return refused(n * size) ? NULL : __libc_calloc(n, size); }
void *realloc(void *old, size_t size) { return refused(size) ? NULL : __libc_realloc(old, size); }
