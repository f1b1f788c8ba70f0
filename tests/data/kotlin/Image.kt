package android.media

import java.nio.ByteBuffer

/** Stands for Android's, as far as YuvFrame uses it. */
class Image(val width: Int, val height: Int, val planes: Array<Plane>) : AutoCloseable {
    class Plane(val buffer: ByteBuffer, val rowStride: Int, val pixelStride: Int)

    override fun close() {}
}
