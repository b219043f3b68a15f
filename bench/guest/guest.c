// Workloads of the engine benchmark: one flat image, position-independent, entered through the table at its start.
// Build: see build.sh. Each takes (iterations, buffer) and returns a checksum.
typedef unsigned long long u64;
typedef unsigned int u32;
typedef unsigned char u8;
#define NOINLINE __attribute__((noinline))

__asm__(".section .start,\"x\"\n"
        ".balign 16\njmp int_loop\n.balign 16\njmp crc32\n.balign 16\njmp rep_copy\n.balign 16\njmp sse_copy\n"
        ".balign 16\njmp fib\n.balign 16\njmp nested\n.balign 16\njmp list\n.balign 16\njmp sha256\n.text\n");

u64 int_loop(u64 n, u8 *p)
{
    u64 a = 1, b = 2, c = 3;
    for (u64 i = 0; i < n; i++) {
        a += b ^ (i >> 3);
        b = (b << 7) ^ (a + i);
        c -= a & b;
        if (c & 16) a ^= c;
    }
    return a + b + c;
}

u64 crc32(u64 n, u8 *p)
{
    u32 *table = (u32 *)p;
    u8 *data = p + 1024;
    for (u32 i = 0; i < 256; i++) {
        u32 c = i;
        for (int k = 0; k < 8; k++) c = c & 1 ? 0xEDB88320 ^ (c >> 1) : c >> 1;
        table[i] = c;
    }
    u32 crc = ~0u;
    while (n--)
        for (u32 i = 0; i < 32768; i++) crc = table[(crc ^ data[i]) & 255] ^ (crc >> 8);
    return ~crc;
}

u64 rep_copy(u64 n, u8 *p)
{
    for (u64 i = 0; i < n; i++) {
        void *to = p + 32768, *from = p;
        u64 count = 16384 + (i & 7);
        __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) :: "memory");
        p[i & 1023]++;
    }
    return p[32768];
}

u64 sse_copy(u64 n, u8 *p)
{
    for (u64 i = 0; i < n; i++) {
        u8 *to = p + 32768, *from = p;
        for (int k = 0; k < 16384; k += 32)
            // Compiled without SSE: xmm0 and xmm1 are not the compiler's, so they need no mention.
            __asm__ volatile("movups (%1), %%xmm0\n movups 16(%1), %%xmm1\n movups %%xmm0, (%0)\n movups %%xmm1, 16(%0)"
                             :: "r"(to + k), "r"(from + k) : "memory");
        p[i & 1023]++;
    }
    return p[32768];
}

static NOINLINE u64 fib_of(u64 n)
{
    if (n < 2) return n;
    u64 a = fib_of(n - 1);
    __asm__ volatile("" : "+r"(a));
    return a + fib_of(n - 2);
}

u64 fib(u64 n, u8 *p)
{
    u64 r = 0;
    while (n--) r += fib_of(20);
    return r;
}

struct node { struct node *next; u64 value; };

static NOINLINE u64 leaf(struct node *p, u64 x) { p->value += x; return p->value ^ (x >> 1); }
static NOINLINE u64 middle(struct node *p, u64 x, u64 y)
{
    if (!p || x == ~0ull) return 1;
    u64 r = leaf(p, x + y);
    return r + leaf(p, r & 255);
}
static NOINLINE u64 outer(struct node *p, u64 x)
{
    u64 a = middle(p, x, 3);
    if (a & 1) a += middle(p + 1, a, x);
    return a;
}

u64 nested(u64 n, u8 *p)
{
    u64 r = 0;
    for (u64 i = 0; i < n; i++) r += outer((struct node *)p, i);
    return r;
}

u64 list(u64 n, u8 *p)
{
    struct node *nodes = (struct node *)p;
    u32 at = 0;
    for (u32 i = 0; i < 1024; i++) {
        u32 next = (at + 389) & 1023;
        nodes[at].next = &nodes[next];
        nodes[at].value = at * 2654435761u;
        at = next;
    }
    u64 r = 0;
    for (u64 i = 0; i < n; i++) {
        struct node *q = nodes;
        for (u32 k = 0; k < 1024; k++) {
            if (q->value & 1) r += q->value;
            else if (q->value & 64) r ^= q->value;
            else r -= 3;
            q = q->next;
        }
    }
    return r;
}

static const u32 K[64] = {
    0x428a2f98,0x71374491,0xb5c0fbcf,0xe9b5dba5,0x3956c25b,0x59f111f1,0x923f82a4,0xab1c5ed5,
    0xd807aa98,0x12835b01,0x243185be,0x550c7dc3,0x72be5d74,0x80deb1fe,0x9bdc06a7,0xc19bf174,
    0xe49b69c1,0xefbe4786,0x0fc19dc6,0x240ca1cc,0x2de92c6f,0x4a7484aa,0x5cb0a9dc,0x76f988da,
    0x983e5152,0xa831c66d,0xb00327c8,0xbf597fc7,0xc6e00bf3,0xd5a79147,0x06ca6351,0x14292967,
    0x27b70a85,0x2e1b2138,0x4d2c6dfc,0x53380d13,0x650a7354,0x766a0abb,0x81c2c92e,0x92722c85,
    0xa2bfe8a1,0xa81a664b,0xc24b8b70,0xc76c51a3,0xd192e819,0xd6990624,0xf40e3585,0x106aa070,
    0x19a4c116,0x1e376c08,0x2748774c,0x34b0bcb5,0x391c0cb3,0x4ed8aa4a,0x5b9cca4f,0x682e6ff3,
    0x748f82ee,0x78a5636f,0x84c87814,0x8cc70208,0x90befffa,0xa4506ceb,0xbef9a3f7,0xc67178f2 };

#define ROR(x, n) (((x) >> (n)) | ((x) << (32 - (n))))

static NOINLINE void sha_block(u32 *h, const u8 *p)
{
    u32 w[64], s[8];
    for (int i = 0; i < 16; i++) w[i] = __builtin_bswap32(((const u32 *)p)[i]);
    for (int i = 16; i < 64; i++) {
        u32 a = w[i - 15], b = w[i - 2];
        w[i] = w[i - 16] + w[i - 7] + (ROR(a, 7) ^ ROR(a, 18) ^ (a >> 3)) + (ROR(b, 17) ^ ROR(b, 19) ^ (b >> 10));
    }
    for (int i = 0; i < 8; i++) s[i] = h[i];
    for (int i = 0; i < 64; i++) {
        u32 e = s[4], a = s[0];
        u32 t1 = s[7] + (ROR(e, 6) ^ ROR(e, 11) ^ ROR(e, 25)) + ((e & s[5]) ^ (~e & s[6])) + K[i] + w[i];
        u32 t2 = (ROR(a, 2) ^ ROR(a, 13) ^ ROR(a, 22)) + ((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));
        for (int k = 7; k > 0; k--) s[k] = s[k - 1];
        s[4] += t1;
        s[0] = t1 + t2;
    }
    for (int i = 0; i < 8; i++) h[i] += s[i];
}

u64 sha256(u64 n, u8 *p)
{
    u32 h[8] = { 0x6a09e667,0xbb67ae85,0x3c6ef372,0xa54ff53a,0x510e527f,0x9b05688c,0x1f83d9ab,0x5be0cd19 };
    for (u64 i = 0; i < n; i++) sha_block(h, p + (i & 15) * 64);
    return h[0] + ((u64)h[7] << 32);
}
