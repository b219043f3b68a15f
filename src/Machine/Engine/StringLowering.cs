namespace Ringdown.Machine;

static class StringLowering
{
    public static bool Lower(BlockBuilder b) => false;
}
