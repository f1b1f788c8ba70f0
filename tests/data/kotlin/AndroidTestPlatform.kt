package androidx.test.platform.app

import android.content.res.AssetManager
import java.io.File

/** Stands for the instrumentation of a connected phone: assets come from the module's folders. */
class Context(val assets: AssetManager)

class Instrumentation(val context: Context, val targetContext: Context)

object InstrumentationRegistry {
    private fun context(part: String) = Context(AssetManager(File(System.getProperty("module"), "src/$part/assets")))

    @JvmStatic
    fun getInstrumentation() = Instrumentation(context("androidTest"), context("main"))
}
