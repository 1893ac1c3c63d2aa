/* floor.c - the least that relaying RTP <-> SRTP can cost on this machine.
 *
 *  floor relay BATCH        a gateway with static keys under the bench's paced load
 *                           (see gateways/floors.py for its stdin); BATCH > 1 reads
 *                           with recvmmsg and writes with sendmmsg
 *  floor micro [PACKETS]    saturated loop: K packets wait in the socket, one thread
 *                           receives, (un)protects and sends them; CPU per packet.
 *                           No wake-ups, nobody waits on the receiving socket.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <srtp2/srtp.h>

#define BUFSZ 2048
#define MAXB 32

static int64_t cpu_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void die(const char *w) { perror(w); exit(1); }

static srtp_t session(const uint8_t *key, int inbound, int profile) {
    srtp_policy_t p;
    srtp_t s;
    memset(&p, 0, sizeof p);
    srtp_crypto_policy_set_from_profile_for_rtp(&p.rtp, (srtp_profile_t)profile);
    srtp_crypto_policy_set_from_profile_for_rtcp(&p.rtcp, (srtp_profile_t)profile);
    p.ssrc.type = inbound ? ssrc_any_inbound : ssrc_any_outbound;
    p.key = (uint8_t *)key;
    p.window_size = 1024;
    p.allow_repeat_tx = 1;
    if (srtp_create(&s, &p)) { fprintf(stderr, "srtp_create\n"); exit(1); }
    return s;
}

static struct sockaddr_in lo(int port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return a;
}

static int bound(int port) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in a = lo(port);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a)) die("bind");
    return fd;
}

/* ------------------------------------------------------------ paced relay */
enum { A, AR, V, VR, S };                    /* the five sockets of a call */
typedef struct { int fd[5]; struct sockaddr_in to[5]; srtp_t tx, rx; } call_t;
static call_t *calls;
static int ncalls;

static uint8_t pk[MAXB][BUFSZ];

/* Process one packet in place; returns which socket sends it, or -1. */
static int process(call_t *c, int role, uint8_t *b, int *n) {
    if (*n < 8 || b[0] < 128 || b[0] > 191) return -1;
    int rtcp = b[1] >= 192 && b[1] <= 223;
    if (role != S) return (rtcp ? srtp_protect_rtcp(c->tx, b, n) : srtp_protect(c->tx, b, n)) ? -1 : S;
    if (rtcp ? srtp_unprotect_rtcp(c->rx, b, n) : srtp_unprotect(c->rx, b, n)) return -1;
    if (rtcp) return AR;                     /* whose RTCP it is does not matter to the cost */
    return (b[1] & 127) == 8 ? A : V;
}

static void relay_ready(call_t *c, int role, int batch) {
    if (batch <= 1) {
        int n = recv(c->fd[role], pk[0], BUFSZ, 0);
        if (n <= 0) return;
        int out = process(c, role, pk[0], &n);
        if (out >= 0) sendto(c->fd[out], pk[0], n, 0, (struct sockaddr *)&c->to[out], sizeof c->to[out]);
        return;
    }
    struct mmsghdr in[MAXB], om[MAXB];
    struct iovec iv[MAXB], ov[MAXB];
    for (int i = 0; i < batch; i++) {
        iv[i] = (struct iovec){pk[i], BUFSZ};
        memset(&in[i], 0, sizeof in[i]);
        in[i].msg_hdr.msg_iov = &iv[i];
        in[i].msg_hdr.msg_iovlen = 1;
    }
    int n = recvmmsg(c->fd[role], in, batch, 0, NULL), k = 0, cur = -1;
    for (int i = 0; i <= n; i++) {
        int len = i < n ? (int)in[i].msg_len : 0;
        int out = i < n ? process(c, role, pk[i], &len) : -2;
        if (k && out != cur) {               /* flush when the outgoing socket changes */
            sendmmsg(c->fd[cur], om, k, 0);
            k = 0;
        }
        if (out < 0) continue;
        cur = out;
        ov[k] = (struct iovec){pk[i], len};
        memset(&om[k], 0, sizeof om[k]);
        om[k].msg_hdr.msg_iov = &ov[k];
        om[k].msg_hdr.msg_iovlen = 1;
        om[k].msg_hdr.msg_name = &c->to[out];
        om[k].msg_hdr.msg_namelen = sizeof c->to[out];
        k++;
    }
}

static int relay(int batch) {
    int ep = epoll_create1(0);
    struct epoll_event e = {.events = EPOLLIN, .data.u32 = UINT32_MAX}, ev[64];
    epoll_ctl(ep, EPOLL_CTL_ADD, 0, &e);
    calls = calloc(1024, sizeof *calls);
    for (;;) {
        int n = epoll_wait(ep, ev, 64, -1);
        for (int i = 0; i < n; i++) {
            uint32_t u = ev[i].data.u32;
            if (u != UINT32_MAX) { relay_ready(&calls[u / 5], u % 5, batch); continue; }
            char line[1024], kb[128], kf[128];
            int q = read(0, line, sizeof line - 1), g[5], p[5];
            if (q <= 0) return 0;
            line[q] = 0;
            if (sscanf(line, "%d %d %d %d %d %d %d %d %d %d %127s %127s", g, g + 1, g + 2, g + 3, g + 4, p, p + 1,
                       p + 2, p + 3, p + 4, kb, kf) != 12) return 1;
            call_t *c = &calls[ncalls];
            uint8_t k[2][46];
            for (int j = 0; j < 30; j++) {
                unsigned x, y;
                sscanf(kb + 2 * j, "%2x", &x); sscanf(kf + 2 * j, "%2x", &y);
                k[0][j] = x; k[1][j] = y;
            }
            c->tx = session(k[0], 0, 1);
            c->rx = session(k[1], 1, 1);
            for (int j = 0; j < 5; j++) {
                c->fd[j] = bound(g[j]);
                c->to[j] = lo(p[j]);
                e.data.u32 = ncalls * 5 + j;
                epoll_ctl(ep, EPOLL_CTL_ADD, c->fd[j], &e);
            }
            ncalls++;
            if (write(1, "ok\n", 3) != 3) return 1;
        }
    }
}

/* -------------------------------------------------------- saturated micro */
static uint8_t key[46];
static uint16_t seq;
static const int MIX[3] = {172, 1112, 1112};    /* 50 audio : 100 video packets a second */

static int make(uint8_t *b, int size) {
    memset(b, 0xd5, size);
    b[0] = 0x80; b[1] = size < 200 ? 8 : 96;
    b[2] = seq >> 8; b[3] = seq & 255; seq++;
    memset(b + 4, 1, 8);
    return size;
}

/* Raw OpenSSL: AES-128-CTR + HMAC-SHA1-80 with reused contexts, the same bytes worked on as SRTP. */
static EVP_CIPHER_CTX *ectx;
static EVP_MAC_CTX *mctx;
static void raw_init(void) {
    ectx = EVP_CIPHER_CTX_new();
    EVP_EncryptInit_ex(ectx, EVP_aes_128_ctr(), NULL, key, NULL);
    EVP_MAC *m = EVP_MAC_fetch(NULL, "HMAC", NULL);
    mctx = EVP_MAC_CTX_new(m);
    OSSL_PARAM p[] = {OSSL_PARAM_construct_utf8_string("digest", "SHA1", 0), OSSL_PARAM_construct_end()};
    EVP_MAC_init(mctx, key, 20, p);
}
static void raw_protect(uint8_t *b, int *n) {
    uint8_t iv[16] = {0}, mac[20], roc[4] = {0};
    size_t ml;
    int o;
    memcpy(iv + 4, b + 4, 6); memcpy(iv + 12, b + 2, 2);
    EVP_EncryptInit_ex(ectx, NULL, NULL, NULL, iv);
    EVP_EncryptUpdate(ectx, b + 12, &o, b + 12, *n - 12);
    EVP_MAC_init(mctx, NULL, 0, NULL);
    EVP_MAC_update(mctx, b, *n);
    EVP_MAC_update(mctx, roc, 4);
    EVP_MAC_final(mctx, mac, &ml, 20);
    memcpy(b + *n, mac, 10);
    *n += 10;
}

enum { NONE, PROTECT, UNPROTECT, RAW };
static const char *OPS[] = {"copy", "protect", "unprotect", "raw-evp"};

/* profile: libsrtp number; size 0: the mix; batch: packets waiting and (batch>1) per syscall;
 * mmsg: batch the syscalls; ep: one epoll_wait before each read; net 0: crypto only */
static double micro(int op, int profile, int size, int batch, int mmsg, int ep, int net, int packets) {
    srtp_t tx = session(key, 0, profile), rx = session(key, 1, profile);
    int gen = bound(0), rel = bound(0), sink = bound(0), big = 4 << 20;
    struct sockaddr_in arel, asink;
    socklen_t l = sizeof arel;
    getsockname(rel, (struct sockaddr *)&arel, &l);
    getsockname(sink, (struct sockaddr *)&asink, &l);
    setsockopt(rel, SOL_SOCKET, SO_RCVBUF, &big, sizeof big);
    setsockopt(sink, SOL_SOCKET, SO_RCVBUF, &big, sizeof big);
    int epfd = epoll_create1(0);
    struct epoll_event e = {.events = EPOLLIN}, got;
    epoll_ctl(epfd, EPOLL_CTL_ADD, rel, &e);
    static uint8_t src[MAXB][BUFSZ];
    int len[MAXB];
    int64_t spent = 0;
    int done = 0, bad = 0, turn = 0;
    while (done < packets) {
        for (int i = 0; i < batch; i++) {
            len[i] = make(src[i], size ? size : MIX[turn++ % 3]);
            if (op == UNPROTECT) srtp_protect(tx, src[i], &len[i]);
            if (net && sendto(gen, src[i], len[i], 0, (struct sockaddr *)&arel, sizeof arel) < 0) die("gen");
        }
        int64_t t = cpu_now();
        if (!net) {
            for (int i = 0; i < batch; i++) {
                if (op == PROTECT) bad += srtp_protect(tx, src[i], &len[i]) != 0;
                else if (op == UNPROTECT) bad += srtp_unprotect(rx, src[i], &len[i]) != 0;
                else if (op == RAW) raw_protect(src[i], &len[i]);
            }
        } else if (!mmsg) {
            for (int i = 0; i < batch; i++) {
                if (ep) epoll_wait(epfd, &got, 1, 0);
                int n = recv(rel, pk[0], BUFSZ, 0);
                if (n <= 0) { bad++; continue; }
                if (op == PROTECT) bad += srtp_protect(tx, pk[0], &n) != 0;
                else if (op == UNPROTECT) bad += srtp_unprotect(rx, pk[0], &n) != 0;
                else if (op == RAW) raw_protect(pk[0], &n);
                sendto(rel, pk[0], n, 0, (struct sockaddr *)&asink, sizeof asink);
            }
        } else {
            struct mmsghdr m[MAXB];
            struct iovec v[MAXB];
            for (int i = 0; i < batch; i++) {
                v[i] = (struct iovec){pk[i], BUFSZ};
                memset(&m[i], 0, sizeof m[i]);
                m[i].msg_hdr.msg_iov = &v[i];
                m[i].msg_hdr.msg_iovlen = 1;
            }
            int n = recvmmsg(rel, m, batch, 0, NULL);
            if (n != batch) bad++;
            for (int i = 0; i < n; i++) {
                int k = m[i].msg_len;
                if (op == PROTECT) bad += srtp_protect(tx, pk[i], &k) != 0;
                else if (op == UNPROTECT) bad += srtp_unprotect(rx, pk[i], &k) != 0;
                else if (op == RAW) raw_protect(pk[i], &k);
                v[i].iov_len = k;
                m[i].msg_hdr.msg_name = &asink;
                m[i].msg_hdr.msg_namelen = sizeof asink;
            }
            sendmmsg(rel, m, n, 0);
        }
        spent += cpu_now() - t;
        done += batch;
        if (net) while (recv(sink, src[0], BUFSZ, 0) > 0) {}
    }
    srtp_dealloc(tx); srtp_dealloc(rx);
    close(gen); close(rel); close(sink); close(epfd);
    if (bad) fprintf(stderr, "%d bad\n", bad);
    return spent / 1e3 / done;
}

int main(int argc, char **argv) {
    srtp_init();
    for (unsigned i = 0; i < sizeof key; i++) key[i] = i * 37 + 11;
    if (argc > 2 && !strcmp(argv[1], "relay")) {
        int b = atoi(argv[2]);
        return relay(b > MAXB ? MAXB : b);
    }
    if (argc < 2 || strcmp(argv[1], "micro")) { fprintf(stderr, "usage: floor relay BATCH | floor micro [PACKETS]\n"); return 2; }
    int N = argc > 2 ? atoi(argv[2]) : 200000;
    raw_init();
    printf("%s\n", srtp_get_version_string());
    struct { const char *what; int op, prof, size, batch, mmsg, ep, net; } T[] = {
        {"crypto only, 172 B", PROTECT, 1, 172, 32, 0, 0, 0},
        {"crypto only, 1112 B", PROTECT, 1, 1112, 32, 0, 0, 0},
        {"crypto only, mix", PROTECT, 1, 0, 32, 0, 0, 0},
        {"crypto only, mix", UNPROTECT, 1, 0, 32, 0, 0, 0},
        {"crypto only, mix, raw OpenSSL", RAW, 1, 0, 32, 0, 0, 0},
        {"crypto only, mix, AES-128-GCM", PROTECT, 7, 0, 32, 0, 0, 0},
        {"recv+send, mix", NONE, 1, 0, 32, 0, 0, 1},
        {"recv+X+send, mix", PROTECT, 1, 0, 32, 0, 0, 1},
        {"recv+X+send, mix", UNPROTECT, 1, 0, 32, 0, 0, 1},
        {"recv+X+send, mix", RAW, 1, 0, 32, 0, 0, 1},
        {"recv+X+send, mix, AES-128-GCM", PROTECT, 7, 0, 32, 0, 0, 1},
        {"epoll+recv+X+send, mix", PROTECT, 1, 0, 32, 0, 1, 1},
        {"epoll+recv+X+send, mix", UNPROTECT, 1, 0, 32, 0, 1, 1},
        {"recvmmsg+sendmmsg of 4, no crypto", NONE, 1, 0, 4, 1, 0, 1},
        {"recvmmsg+sendmmsg of 32, no crypto", NONE, 1, 0, 32, 1, 0, 1},
        {"recvmmsg+X+sendmmsg of 4, mix", PROTECT, 1, 0, 4, 1, 0, 1},
        {"recvmmsg+X+sendmmsg of 32, mix", PROTECT, 1, 0, 32, 1, 0, 1},
        {"recvmmsg+X+sendmmsg of 32, mix", UNPROTECT, 1, 0, 32, 1, 0, 1},
        {"recvmmsg+X+sendmmsg of 32, mix", RAW, 1, 0, 32, 1, 0, 1},
    };
    for (unsigned i = 0; i < sizeof T / sizeof *T; i++) {
        double r[3];
        for (int k = 0; k < 3; k++) r[k] = micro(T[i].op, T[i].prof, T[i].size, T[i].batch, T[i].mmsg, T[i].ep, T[i].net, N);
        double lo_ = r[0], hi = r[0];
        for (int k = 1; k < 3; k++) { if (r[k] < lo_) lo_ = r[k]; if (r[k] > hi) hi = r[k]; }
        double med = r[0] + r[1] + r[2] - lo_ - hi;
        printf("%-36s %-9s  median %.3f  (%.3f-%.3f) us/packet\n", T[i].what, OPS[T[i].op], med, lo_, hi);
        fflush(stdout);
    }
    return 0;
}
