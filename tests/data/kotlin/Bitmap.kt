package android.graphics

/** Stands for Android's, as far as Restorer uses it. */
class Bitmap private constructor(private val colours: IntArray, val width: Int, val height: Int, val config: Config?) {
    enum class Config { ARGB_8888, HARDWARE }

    fun copy(config: Config, isMutable: Boolean): Bitmap = Bitmap(colours.copyOf(), width, height, config)

    fun getPixels(pixels: IntArray, offset: Int, stride: Int, x: Int, y: Int, width: Int, height: Int) {
        check(config != Config.HARDWARE) { "pixel access is not supported on Config#HARDWARE bitmaps" }
        for (row in 0 until height) {
            colours.copyInto(pixels, offset + row * stride, (y + row) * this.width + x, (y + row) * this.width + x + width)
        }
    }

    companion object {
        @JvmStatic
        fun createBitmap(colors: IntArray, width: Int, height: Int, config: Config): Bitmap =
            Bitmap(colors.copyOf(width * height), width, height, config)
    }
}
