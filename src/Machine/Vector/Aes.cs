using System.Runtime.Intrinsics;

namespace Ringdown.Machine;

/// <summary>The rounds of AES as AES-NI has them; the state is a column-major square of bytes.</summary>
static class Aes
{
    static readonly byte[] s_box = MakeBox();
    static readonly byte[] s_inverse = Invert(s_box);

    public static Vector128<byte> Encrypt(Vector128<byte> state, Vector128<byte> key) =>
        Mix(Substitute(ShiftRows(state, 5), s_box), 2, 3, 1, 1) ^ key;

    public static Vector128<byte> EncryptLast(Vector128<byte> state, Vector128<byte> key) =>
        Substitute(ShiftRows(state, 5), s_box) ^ key;

    public static Vector128<byte> Decrypt(Vector128<byte> state, Vector128<byte> key) =>
        InverseMix(Substitute(ShiftRows(state, 13), s_inverse)) ^ key;

    public static Vector128<byte> DecryptLast(Vector128<byte> state, Vector128<byte> key) =>
        Substitute(ShiftRows(state, 13), s_inverse) ^ key;

    public static Vector128<byte> InverseMix(Vector128<byte> state) => Mix(state, 14, 11, 13, 9);

    public static Vector128<byte> KeyAssist(Vector128<byte> key, int constant)
    {
        Vector128<uint> words = key.AsUInt32();
        uint one = Substitute(words.GetElement(1)), three = Substitute(words.GetElement(3)), c = (uint)constant & 0xFF;
        return Vector128.Create(one, Rotate(one) ^ c, three, Rotate(three) ^ c).AsByte();
    }

    static uint Rotate(uint word) => word >> 8 | word << 24;

    static uint Substitute(uint word) =>
        Substitute(Vector128.CreateScalar(word).AsByte(), s_box).AsUInt32().ToScalar();

    static Vector128<byte> Substitute(Vector128<byte> state, byte[] box)
    {
        for (int i = 0; i < 16; i++) state = state.WithElement(i, box[state.GetElement(i)]);
        return state;
    }

    // Row r moves by r columns: the byte at place i comes from place i * step, both in units of one byte.
    static Vector128<byte> ShiftRows(Vector128<byte> state, int step)
    {
        Vector128<byte> result = default;
        for (int i = 0; i < 16; i++) result = result.WithElement(i, state.GetElement(i * step & 15));
        return result;
    }

    static Vector128<byte> Mix(Vector128<byte> state, int a, int b, int c, int d)
    {
        Vector128<byte> result = default;
        for (int i = 0; i < 16; i++)
        {
            int column = i & 12;
            int value = Times(state.GetElement(i), a) ^ Times(state.GetElement(column | i + 1 & 3), b)
                ^ Times(state.GetElement(column | i + 2 & 3), c) ^ Times(state.GetElement(column | i + 3 & 3), d);
            result = result.WithElement(i, (byte)value);
        }
        return result;
    }

    static int Times(int a, int b)
    {
        int product = 0;
        for (; b != 0; b >>= 1, a = a << 1 ^ (a >> 7) * 0x11B)
            if ((b & 1) != 0) product ^= a;
        return product & 0xFF;
    }

    static byte[] MakeBox()
    {
        byte[] box = new byte[256];
        for (int i = 0; i < 256; i++)
        {
            int inverse = 0;
            for (int k = 1; k < 256 && i != 0; k++)
                if (Times(i, k) == 1) inverse = k;
            int x = inverse | inverse << 8;
            box[i] = (byte)(x ^ x >> 4 ^ x >> 5 ^ x >> 6 ^ x >> 7 ^ 0x63);
        }
        return box;
    }

    static byte[] Invert(byte[] box)
    {
        byte[] inverse = new byte[256];
        for (int i = 0; i < 256; i++) inverse[box[i]] = (byte)i;
        return inverse;
    }
}
