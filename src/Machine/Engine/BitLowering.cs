namespace Ringdown.Machine;

static class BitLowering
{
    public static bool Lower(BlockBuilder b) => false;
}
