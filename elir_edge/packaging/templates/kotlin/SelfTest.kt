// SPDX-License-Identifier: Apache-2.0
package @{namespace}

import androidx.test.ext.junit.runners.AndroidJUnit4
import androidx.test.platform.app.InstrumentationRegistry
import java.util.zip.CRC32
import kotlin.math.abs
import kotlin.math.log10
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith

/** Restores the packed picture on this device and compares it with what LiteRT gave when the model was exported. */
@RunWith(AndroidJUnit4::class)
class SelfTest {
    private val instrumentation = InstrumentationRegistry.getInstrumentation()
    private val assets = instrumentation.targetContext.assets

    private fun golden(name: String): ByteArray =
        instrumentation.context.assets.open("selftest/$name").use { it.readBytes() }

    @Test
    fun modelIsTheOneThatWasPackaged() {
        val content = assets.open(ModelFacts.ASSET).use { it.readBytes() }
        assertEquals(ModelFacts.BYTES, content.size.toLong())
        assertEquals(ModelFacts.CRC32, CRC32().apply { update(content) }.value)
    }

    @Test
    fun goldenPictureIsRestoredAsBefore() {
        val restored = Restorer(assets).use { it.restore(golden("image.rgb")) }
        val expected = golden("restored.rgb")
        val differences = restored.indices.map { (restored[it].toInt() and 0xff) - (expected[it].toInt() and 0xff) }
        val largest = differences.maxOf { abs(it) }
        val decibels = 10 * log10(255.0 * 255.0 / differences.map { it * it }.average())
        val passed = largest <= ModelFacts.TEST_LEVELS || (ModelFacts.TEST_DB > 0 && decibels >= ModelFacts.TEST_DB)
        assertTrue("values differ by up to $largest levels, PSNR $decibels dB", passed)
    }
}
